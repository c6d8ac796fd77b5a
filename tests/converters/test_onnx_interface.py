"""Names and dimensions of a converted ONNX model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import StepFailed
from converters.onnx_interface import name_interface

pytestmark = pytest.mark.slow

_IN = TensorSpec(name="image", dtype="float32", shape=("batch", 4))
_OUT = TensorSpec(name="embedding", dtype="float32", shape=("batch", 4))


def _model(nodes: Any, *, initializers: Any = ()) -> Any:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["unk__7", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["unk__8", None])],
        list(initializers),
        value_info=[helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["unk__7", 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _evaluate(model: Any) -> Any:
    from onnx import checker
    from onnx.reference import ReferenceEvaluator

    checker.check_model(model)
    return ReferenceEvaluator(model).run(["embedding"], {"image": np.full((2, 4), 3, np.float32)})[0]


def test_an_inner_value_with_the_name_of_an_output_is_moved_away() -> None:
    from onnx import helper

    model = _model([helper.make_node("Neg", ["x"], ["embedding"]), helper.make_node("Abs", ["embedding"], ["y"])])
    name_interface("convert", model, [_IN], [_OUT])
    np.testing.assert_array_equal(_evaluate(model), np.full((2, 4), 3, np.float32))


def test_a_weight_with_the_name_of_an_input_is_moved_away() -> None:
    from onnx import helper, numpy_helper

    weight = numpy_helper.from_array(np.ones(4, np.float32), "image")
    model = _model([helper.make_node("Add", ["x", "image"], ["y"])], initializers=[weight])
    name_interface("convert", model, [_IN], [_OUT])
    np.testing.assert_array_equal(_evaluate(model), np.full((2, 4), 4, np.float32))


def test_branches_that_use_an_outer_value_follow_its_new_name() -> None:
    from onnx import TensorProto, helper, numpy_helper

    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(operator, ["x"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Neg"), ("else", "Abs"))
    }
    condition = numpy_helper.from_array(np.array(True), "condition")
    model = _model([helper.make_node("If", ["condition"], ["y"], **branches)], initializers=[condition])
    name_interface("convert", model, [_IN], [_OUT])
    np.testing.assert_array_equal(_evaluate(model), np.full((2, 4), -3, np.float32))


def test_dimensions_get_their_names_everywhere() -> None:
    from onnx import helper

    model = _model([helper.make_node("Neg", ["x"], ["embedding"]), helper.make_node("Abs", ["embedding"], ["y"])])
    name_interface("convert", model, [_IN], [_OUT])
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    dimensions = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values]
    assert dimensions == [["batch", 4]] * 3


def test_a_vanished_input_is_a_failure_that_names_both_lists() -> None:
    from onnx import helper

    model = _model([helper.make_node("Neg", ["x"], ["y"])])
    mask = TensorSpec(name="mask", dtype="float32", shape=("batch", 4))
    with pytest.raises(StepFailed, match=r"1 inputs \(x\) where the source has 2 \(image, mask\)"):
        name_interface("convert", model, [_IN, mask], [_OUT])
