"""What single steps on the way to and from OpenVINO must do beyond the checks that all share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core import plugins
from bench.core.errors import StepFailed
from tests.conformance import step_sources


def half_precision_is_stored_only_when_it_is_asked_for(directory: Path) -> None:
    import openvino

    source = step_sources.torch_encoder(directory)
    step = plugins.load("steps", "to_openvino")
    for compress, wanted in ((False, {"f32"}), (True, {"f16"})):
        out_dir = directory / str(compress)
        out_dir.mkdir()
        result = step.apply(source, step.Options(compress_to_float16=compress), out_dir, None)
        model = openvino.Core().read_model(result.path)
        weights = [op for op in model.get_ops() if op.get_type_name() == "Constant" and len(op.shape) > 1]
        stored = {op.get_element_type().get_type_name() for op in weights if np.prod(op.shape) >= 64}
        assert stored == wanted
        assert bool(result.notes) is compress
        assert [port.get_names() for port in model.inputs] == [{"input_ids"}, {"attention_mask"}]
        assert all(port.partial_shape.is_dynamic for port in model.inputs)


def a_frozen_graph_keeps_only_the_outputs_that_are_named(directory: Path) -> None:
    import openvino
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], name="x")
        tf.identity(2 * x, name="y")
        tf.identity(3 * x, name="left_over")
    path = directory / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    source = step_sources.artifact(
        "frozen_graph",
        path,
        [step_sources.TensorSpec(name="x", dtype="float32", shape=("batch", 3))],
        [step_sources.TensorSpec(name="double", dtype="float32", shape=("batch", 3), native="y")],
    )
    step = plugins.load("steps", "to_openvino")
    result = step.apply(source, step.Options(), directory, None)
    model = openvino.Core().read_model(result.path)
    assert [port.get_names() for port in model.outputs] == [{"double"}]


def what_is_quantized_already_is_a_failure(directory: Path) -> None:
    source = step_sources.openvino_model(directory)
    step = plugins.load("steps", "compress_openvino")
    (directory / "once").mkdir()
    (directory / "twice").mkdir()
    once = step.apply(source, step.Options(), directory / "once", None)
    again = step_sources.artifact("openvino_ir", once.path, once.inputs, once.outputs)
    with pytest.raises(StepFailed, match="no operator with constant weights"):
        step.apply(again, step.Options(), directory / "twice", None)


def without_samples_nothing_is_learned(directory: Path) -> None:
    source = step_sources.openvino_model(directory)
    step = plugins.load("steps", "quantize_openvino")
    with pytest.raises(StepFailed, match="needs samples"):
        step.apply(source, step.Options(), directory, None)


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    half_precision_is_stored_only_when_it_is_asked_for,
    a_frozen_graph_keeps_only_the_outputs_that_are_named,
    what_is_quantized_already_is_a_failure,
    without_samples_nothing_is_learned,
)
