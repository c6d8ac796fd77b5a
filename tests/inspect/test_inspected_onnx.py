"""What is told of ONNX files: everything here is small enough to be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import inspect
from bench.core.artifact import TensorSpec

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.slow
FLOAT = 1


def value(name: str, shape: Sequence[int | str]) -> Any:
    return onnx.helper.make_tensor_value_info(name, FLOAT, shape)


def constant(name: str, *shape: int, dtype: str = "float32") -> Any:
    return onnx.numpy_helper.from_array(np.ones(shape, dtype), name)


def node(kind: str, inputs: Sequence[str], output: str, **options: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], **options)


def read(
    path: Path, nodes: Sequence[Any], constants: Sequence[Any], shape: Sequence[int | str], **model: Any
) -> inspect.Structure:
    graph = onnx.helper.make_graph(nodes, "g", [value("x", shape)], [value("y", [])], constants)
    graph.output[0].type.tensor_type.ClearField("shape")
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("local", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9, **model), path)
    spec = TensorSpec(name="x", dtype="float32", shape=tuple(shape))
    return inspect.read("onnx", inspect.Subject(path=path, inputs=(spec,), outputs=(), load=lambda: None))


def test_multiply_adds_of_a_convolution_and_a_gemm_are_those_of_one_sample(tmp_path: Path) -> None:
    found = read(
        tmp_path / "m.onnx",
        [
            node("Conv", ["x", "kernel"], "a"),  # 6 x 6 outputs of 5 channels, each of 3 x 3 x 2 products
            node("Flatten", ["a"], "b"),
            node("Gemm", ["b", "matrix"], "y", transB=1),  # 7 outputs of 180 products
        ],
        [constant("kernel", 5, 2, 3, 3), constant("matrix", 7, 180)],
        ["batch", 2, 8, 8],
    )
    assert found.work.operations == 6 * 6 * 5 * 18 + 7 * 180
    assert found.work.basis == "multiply-adds of matrix products and convolutions only"
    assert (found.nodes, found.products, found.parameters) == (3, 2, 90 + 1260)
    assert found.weights == (inspect.Weights(dtype="float32", values=1350, size_bytes=5400),)


def test_another_dynamic_dimension_is_given_a_size_that_is_named(tmp_path: Path) -> None:
    found = read(
        tmp_path / "m.onnx", [node("MatMul", ["x", "w"], "y")], [constant("w", 4, 3)], ["batch", "sequence", 4]
    )
    assert found.work.operations == 128 * 3 * 4
    assert found.work.basis.endswith(", at sequence 128")


def test_work_is_not_known_rather_than_a_part_of_it(tmp_path: Path) -> None:
    found = read(
        tmp_path / "m.onnx",
        [node("MatMul", ["x", "w"], "a"), node("Mystery", ["a"], "b", domain="local"), node("MatMul", ["b", "v"], "y")],
        [constant("w", 4, 3), constant("v", 3, 3)],
        ["batch", 4],
    )
    assert found.work.operations is None
    assert found.work.reason == "the shapes of MatMul are not known"
    assert {entry.operator for entry in found.operators} == {"MatMul", "local.Mystery"}


def test_a_product_between_conversions_counts_as_8_bit_and_the_conversions_do_not(tmp_path: Path) -> None:
    found = read(
        tmp_path / "m.onnx",
        [
            node("QuantizeLinear", ["x", "scale", "zero"], "q"),
            node("DequantizeLinear", ["q", "scale", "zero"], "a"),
            node("DequantizeLinear", ["w", "scale", "zero"], "b"),
            node("MatMul", ["a", "b"], "c"),
            node("MatMul", ["c", "v"], "y"),
        ],
        [constant("scale"), constant("zero", dtype="int8"), constant("w", 4, 3, dtype="int8"), constant("v", 3, 3)],
        ["batch", 4],
    )
    assert (found.products, found.products_on_8_bit, found.nodes_on_8_bit) == (2, 1, 1)
    assert {entry.dtype: entry.size_bytes for entry in found.weights} == {"float32": 40, "int8": 13}


def test_operators_of_inner_graphs_and_functions_count_with_their_constants(tmp_path: Path) -> None:
    branches = {
        f"{name}_branch": onnx.helper.make_graph([node("Add", ["x", "w"], name)], name, [], [value(name, ["batch", 4])])
        for name in ("then", "else")
    }
    function = onnx.helper.make_function(
        "local", "Twice", ["x"], ["y"], [node("Add", ["x", "x"], "y")], [onnx.helper.make_opsetid("", 18)]
    )
    found = read(
        tmp_path / "m.onnx",
        [node("If", ["which"], "a", **branches), node("Twice", ["a"], "y", domain="local")],
        [constant("which", dtype="bool"), constant("w", 4)],
        ["batch", 4],
        functions=[function],
    )
    assert {entry.operator: entry.nodes for entry in found.operators} == {"Add": 3, "If": 1, "local.Twice": 1}
    assert found.parameters == 4
    assert dict(found.facts)["functions"] == "1"


def test_a_function_is_counted_at_each_call_whatever_its_tensors_are_called(tmp_path: Path) -> None:
    function = onnx.helper.make_function(
        "local",
        "Product",
        ["x", "w"],
        ["y"],
        [node("Identity", ["x"], "a"), node("MatMul", ["a", "w"], "y")],
        [onnx.helper.make_opsetid("", 18)],
    )
    found = read(
        tmp_path / "m.onnx",
        [
            node("Product", ["x", "wide"], "a", domain="local"),
            node("Product", ["a", "narrow"], "b", domain="local"),
            node("MatMul", ["b", "last"], "y"),
        ],
        [constant("wide", 4, 100), constant("narrow", 100, 5), constant("last", 5, 2)],
        ["batch", 4],
        functions=[function],
    )
    assert found.work.operations == 4 * 100 + 100 * 5 + 5 * 2
    assert {entry.operator: entry.nodes for entry in found.operators}["MatMul"] == 2


def test_a_function_of_another_opset_cannot_be_inlined_and_is_named(tmp_path: Path) -> None:
    opset = onnx.helper.make_opsetid("", 13)
    body = [node("MatMul", ["x", "x"], "y")]
    function = onnx.helper.make_function("local", "Square", ["x"], ["y"], body, [opset])
    nodes = [node("MatMul", ["x", "w"], "a"), node("Square", ["a"], "y", domain="local")]
    found = read(tmp_path / "m.onnx", nodes, [constant("w", 4, 4)], [4, 4], functions=[function])
    assert found.work.operations == 4 * 4 * 4
    assert found.work.basis.endswith("; not counted: local.Square")


def test_a_conversion_in_a_function_says_nothing_of_a_tensor_of_that_name_outside(tmp_path: Path) -> None:
    opset = onnx.helper.make_opsetid("", 18)
    body = [node("DequantizeLinear", ["q", "scale"], "a")]
    function = onnx.helper.make_function("local", "Floats", ["q", "scale"], ["a"], body, [opset])
    found = read(
        tmp_path / "m.onnx",
        [
            node("Relu", ["x"], "a"),
            node("MatMul", ["a", "a"], "b"),
            node("Floats", ["w", "scale"], "c", domain="local"),
            node("MatMul", ["b", "c"], "y"),
        ],
        [constant("scale"), constant("w", 4, 3, dtype="int8")],
        [4, 4],
        functions=[function],
    )
    assert (found.products, found.products_on_8_bit) == (2, 0)


def test_products_in_the_body_of_a_loop_are_named_and_not_counted_once(tmp_path: Path) -> None:
    body = onnx.helper.make_graph(
        [node("Identity", ["go_on"], "still"), node("MatMul", ["value", "w"], "a")],
        "body",
        [
            onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            onnx.helper.make_tensor_value_info("go_on", onnx.TensorProto.BOOL, []),
            value("value", [1, 3]),
        ],
        [onnx.helper.make_tensor_value_info("still", onnx.TensorProto.BOOL, []), value("a", [1, 3])],
    )
    found = read(
        tmp_path / "m.onnx",
        [node("MatMul", ["x", "v"], "first"), node("Loop", ["times", "", "first"], "y", body=body)],
        [constant("times", dtype="int64"), constant("w", 3, 3), constant("v", 4, 3)],
        ["batch", 4],
    )
    assert found.work.basis.endswith("; not counted: Loop")
    assert found.work.operations == 4 * 3
    assert found.products == 2


def test_the_drawn_graph_joins_nodes_by_their_tensors(tmp_path: Path) -> None:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    path = tmp_path / "m.onnx"
    read(path, [node("Relu", ["x"], "a"), node("Abs", ["a"], "y", name="last")], [], ["batch", 4])
    subject = inspect.Subject(path=path, inputs=(), outputs=(), load=lambda: None)
    graph = GraphDef.FromString(inspect.graph_bytes("onnx", subject))
    assert [(drawn.name, drawn.op, list(drawn.input)) for drawn in graph.node] == [
        ("x", "Input", []),
        ("Relu_0", "Relu", ["x"]),
        ("last", "Abs", ["Relu_0"]),
    ]
