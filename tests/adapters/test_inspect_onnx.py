"""What an .onnx file says of itself is read without running it, and its data may lie nowhere but beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.adapters.inspect import external_members, signature, vocabulary
from bench.core.errors import TargetError

pytestmark = pytest.mark.slow
onnx = pytest.importorskip("onnx")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Sequence[Any] = (),
    functions: Sequence[Any] = (),
) -> Path:
    graph = onnx.helper.make_graph(nodes, "net", inputs, outputs, constants)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("own", 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)
    path.write_bytes(model.SerializeToString())
    return path


def constant(name: str, *shape: int, dtype: str = "float32") -> Any:
    return onnx.numpy_helper.from_array(np.zeros(shape, dtype), name)


def embedding(path: Path, nodes: Sequence[Any], *constants: Any) -> Path:
    """Nodes between `ids` and `y`."""
    return save(path, nodes, [value("ids", INT64, ["N", "S"])], [value("y", FLOAT, None)], constants)


def test_a_signature_holds_what_must_be_given_and_what_comes_out(tmp_path: Path) -> None:
    path = save(
        tmp_path / "net.onnx",
        [node("MatMul", ["x", "w"], ["y"]), node("Shape", ["x"], ["size"])],
        [value("x", FLOAT, ["N", 4]), value("w", FLOAT, [4, 3])],  # old exporters list their constants as inputs
        [value("y", FLOAT, ["N", 3]), value("size", INT64, [2])],
        [constant("w", 4, 3)],
    )
    inputs, outputs = signature("onnx", path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in inputs] == [("x", "float32", ("batch", 4))]
    assert [(spec.name, spec.dtype, spec.shape) for spec in outputs] == [
        ("y", "float32", ("batch", 3)),
        ("size", "int64", (2,)),
    ]


def test_an_output_without_a_shape_is_taken_an_input_without_one_is_refused(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "net.onnx", nodes, [value("x", FLOAT, ["N", 4])], [value("y", FLOAT, None)])
    assert signature("onnx", path)[1][0].shape == ("y_dims",)
    path = save(tmp_path / "net.onnx", nodes, [value("x", FLOAT, None)], [value("y", FLOAT, ["N", 4])])
    with pytest.raises(TargetError, match="no known number of dimensions"):
        signature("onnx", path)


def test_texts_are_named_and_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    text = value("x", onnx.TensorProto.STRING, ["N"])
    path = save(tmp_path / "text.onnx", [node("Identity", ["x"], ["y"])], [text], [value("y", 8, ["N"])])
    assert signature("onnx", path)[0][0].dtype == "str"
    sequence = onnx.helper.make_tensor_sequence_value_info("x", FLOAT, None)
    path = save(tmp_path / "s.onnx", [node("SequenceLength", ["x"], ["y"])], [sequence], [value("y", INT64, [])])
    with pytest.raises(TargetError, match="'x' is a sequence, not a tensor"):
        signature("onnx", path)


def test_ids_are_kept_within_the_smallest_table_that_they_select_from(tmp_path: Path) -> None:
    path = embedding(
        tmp_path / "net.onnx",
        [
            node("Cast", ["ids"], ["narrow"], to=onnx.TensorProto.INT32),
            node("DequantizeLinear", ["table", "scale"], ["floats"]),
            node("Add", ["narrow", "rows"], ["from_the_end"]),
            node("Less", ["narrow", "zero"], ["is_negative"]),
            node("Where", ["is_negative", "from_the_end", "narrow"], ["wrapped"]),
            node("Gather", ["floats", "wrapped"], ["first"]),
            node("Gather", ["large", "ids"], ["second"]),
            node("Add", ["first", "second"], ["y"]),
        ],
        constant("table", 30, 8, dtype="int8"),
        constant("scale"),
        constant("rows", dtype="int32"),
        constant("zero", dtype="int32"),
        constant("large", 500, 8),
    )
    assert vocabulary("onnx", path) == {"ids": 30}


def test_a_table_may_be_a_constant_node_and_another_axis_is_no_table(tmp_path: Path) -> None:
    path = embedding(
        tmp_path / "net.onnx",
        [
            node("Constant", [], ["table"], value=constant("", 70, 4)),
            node("Gather", ["table", "ids"], ["rows"]),
            node("Gather", ["wide", "ids"], ["columns"], axis=1),
            node("MatMul", ["rows", "columns"], ["y"]),
        ],
        constant("wide", 4, 9),
    )
    assert vocabulary("onnx", path) == {"ids": 70}


def test_an_input_that_selects_nothing_is_absent(tmp_path: Path) -> None:
    path = embedding(tmp_path / "net.onnx", [node("Cast", ["ids"], ["y"], to=FLOAT)])
    assert vocabulary("onnx", path) == {}
    assert vocabulary("python_callable", "net.py:build") == {}


def outside(name: str, location: str) -> Any:
    tensor = onnx.TensorProto(name=name, data_type=FLOAT, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def with_data(directory: Path, location: str) -> Path:
    inputs, outputs = [value("x", FLOAT, [2])], [value("y", FLOAT, [2])]
    return save(directory / "net.onnx", [node("Add", ["x", "w"], ["y"])], inputs, outputs, [outside("w", location)])


def test_data_files_beside_the_model_are_listed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(bytes(8))
    path = with_data(tmp_path, "data/w.bin")
    assert external_members(path) == ("data/w.bin",)
    assert signature("onnx", path)[0][0].name == "x"


def test_data_of_inner_graphs_and_functions_are_found(tmp_path: Path) -> None:
    for name in ("branch.bin", "function.bin"):
        (tmp_path / name).write_bytes(bytes(8))
    branch = onnx.helper.make_graph(
        [node("Identity", ["inner"], ["z"])], "branch", [], [value("z", FLOAT, [2])], [outside("inner", "branch.bin")]
    )
    body = [node("Constant", [], ["z"], value=outside("", "function.bin"))]
    function = onnx.helper.make_function("own", "Make", [], ["z"], body, [onnx.helper.make_opsetid("", 18)])
    path = save(
        tmp_path / "net.onnx",
        [node("If", ["c"], ["a"], then_branch=branch, else_branch=branch), node("Make", [], ["b"], domain="own")],
        [value("c", onnx.TensorProto.BOOL, [])],
        [value("a", FLOAT, [2]), value("b", FLOAT, [2])],
        functions=[function],
    )
    assert external_members(path) == ("branch.bin", "function.bin")


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("../secret.bin", "outside"),
        ("data/../../secret.bin", "outside"),
        ("/etc/hostname", "outside"),
        ("link.bin", "through a link"),
        ("linked/w.bin", "through a link"),
        ("hard.bin", "hard links"),
        ("pipe", "not a plain file"),
        ("directory", "not a plain file"),
        ("missing.bin", "No such file"),
        ("", "not a file name"),
        ("a\0b", "not a file name"),
    ],
)
def test_data_anywhere_else_are_refused_with_the_tensors_name(tmp_path: Path, location: str, problem: str) -> None:
    directory = tmp_path / "model"
    (directory / "directory").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    (tmp_path / "w.bin").write_bytes(bytes(8))
    (directory / "link.bin").symlink_to(tmp_path / "secret.bin")
    (directory / "linked").symlink_to(tmp_path)
    os.link(tmp_path / "secret.bin", directory / "hard.bin")
    os.mkfifo(directory / "pipe")
    path = with_data(directory, location)
    for read in (external_members, lambda file: signature("onnx", file)):
        with pytest.raises(TargetError, match="tensor 'w'") as caught:
            read(path)
        assert problem in caught.value.message


def test_functions_nested_a_thousandfold_are_refused_before_a_runtime_sees_them(tmp_path: Path) -> None:
    """ONNX Runtime 1.31 dies of this file with a segmentation fault."""
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("own", 1)]
    functions = [
        onnx.helper.make_function("own", f"f{i}", ["x"], ["y"], [node(f"f{i + 1}", ["x"], ["y"], domain="own")], opsets)
        for i in range(2999)
    ]
    functions.append(onnx.helper.make_function("own", "f2999", ["x"], ["y"], [node("Relu", ["x"], ["y"])], opsets))
    inputs, outputs = [value("x", FLOAT, [2])], [value("y", FLOAT, [2])]
    path = save(tmp_path / "chain.onnx", [node("f0", ["x"], ["y"], domain="own")], inputs, outputs, functions=functions)
    with pytest.raises(TargetError, match="more than 100 deep"):
        signature("onnx", path)
