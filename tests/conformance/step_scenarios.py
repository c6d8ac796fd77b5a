"""What single steps must do beyond the checks that all share; each function gets an empty directory of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import Examples, StepResult
from bench.core.errors import StepFailed
from tests.conformance import (
    scenarios_learning,
    scenarios_onnx,
    scenarios_openvino,
    scenarios_tensorrt,
    scenarios_tflite,
    scenarios_torch,
    step_sources,
)
from tests.conformance.step_sources import IMAGE, SCORES, artifact

Scenario = Callable[[Path], None]


def apply(name: str, source: Artifact, directory: Path, examples: Any = None, **options: Any) -> StepResult:
    out_dir = directory / f"out_{name}"
    out_dir.mkdir(exist_ok=True)
    step = plugins.load("steps", name)
    return step.apply(source, step.Options(**options), out_dir, examples)


def failure(name: str, source: Artifact, directory: Path, **options: Any) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        apply(name, source, directory, **options)
    return caught.value


def as_artifact(result: StepResult) -> Artifact:
    return artifact(result.format, result.path, result.inputs, result.outputs)


def quantized_variances_are_caught_as_not_finite(directory: Path) -> None:
    source = step_sources.frozen_graph(directory)
    error = failure("quantize_weights", source, directory, minimum_size=16, fold=False)
    assert "not finite" in error.message
    apply("quantize_weights", source, directory, minimum_size=16, fold=True)


def nothing_to_quantize_is_a_failure(directory: Path) -> None:
    error = failure("quantize_weights", step_sources.frozen_graph(directory), directory, minimum_size=10**8)
    assert "no float constant of 100000000 values" in error.message


def a_keras_model_saved_by_us_is_restored_as_serving_programs_do(directory: Path) -> None:
    import tensorflow as tf

    source = step_sources.keras_model(directory)
    result = apply("keras_to_saved_model", source, directory)
    image = np.random.default_rng(0).random((2, 12, 12, 3), dtype=np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(result.path))
        signature = graph.signature_def["serving_default"]
        served = session.run(signature.outputs["scores"].name, {signature.inputs["image"].name: image})
    expected = step_sources.run("keras", Path(source.path), {"image": image}, source.inputs, source.outputs)
    np.testing.assert_allclose(served, expected["scores"], atol=1e-5)


def names_that_python_cannot_spell_get_native_ones(directory: Path) -> None:
    source = step_sources.keras_model(directory)
    source = replace(source, inputs=(replace(IMAGE, name="1.image"),), outputs=(replace(SCORES, name="scores/all"),))
    result = apply("keras_to_saved_model", source, directory)
    assert [spec.name for spec in (*result.inputs, *result.outputs)] == ["1.image", "scores/all"]
    frozen = apply("freeze", as_artifact(result), directory)
    apply("strip", as_artifact(frozen), directory)
    converted = apply("saved_model_to_onnx", as_artifact(result), directory)
    answer = step_sources.run(
        "onnx", converted.path, {"1.image": np.ones((1, 12, 12, 3), np.float32)}, converted.inputs, converted.outputs
    )
    assert answer["scores/all"].shape == (1, 10)


def several_inputs_and_outputs_find_their_names(directory: Path) -> None:
    import keras

    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    double = keras.layers.Rescaling(2.0, name="double")(left)
    difference = keras.layers.Subtract(name="difference")([left, right])
    path = directory / "two.keras"
    keras.Model({"left": left, "right": right}, [double, difference]).save(path)
    source = artifact(
        "keras",
        path,
        [TensorSpec(name=name, dtype="float32", shape=("batch", 3)) for name in ("right", "left")],
        [TensorSpec(name=name, dtype="float32", shape=("batch", 3)) for name in ("difference", "double")],
    )
    batch = {"left": np.full((2, 3), 5, np.float32), "right": np.full((2, 3), 1, np.float32)}
    saved = apply("keras_to_saved_model", source, directory)
    results = [saved, *(apply(step, as_artifact(saved), directory) for step in ("freeze", "saved_model_to_onnx"))]
    for result in results:
        answer = step_sources.run(result.format, result.path, batch, result.inputs, result.outputs)
        assert (answer["difference"] == 4).all()
        assert (answer["double"] == 10).all()


def outputs_in_a_dictionary_go_by_its_keys(directory: Path) -> None:
    import keras

    wide = TensorSpec(name="left", dtype="float32", shape=("batch", 3))
    left = keras.Input((3,), name="left")
    double = keras.layers.Rescaling(2.0, name="difference")(left)
    path = directory / "keys.keras"
    keras.Model(left, {"double": double, "difference": keras.layers.Subtract(name="double")([left, left])}).save(path)
    source = artifact("keras", path, [wide], [replace(wide, name=name) for name in ("double", "difference")])
    batch = {"left": np.full((2, 3), 5, np.float32)}
    saved = apply("keras_to_saved_model", source, directory)
    answer = step_sources.run(saved.format, saved.path, batch, saved.inputs, saved.outputs)
    assert (answer["difference"] == 0).all()
    assert (answer["double"] == 10).all()


def a_model_saved_with_its_optimizer_can_be_frozen_and_converted(directory: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weight = tf.Variable(tf.ones([3, 2]), name="weight")
    module.optimizer = tf.compat.v1.train.AdamOptimizer()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module.weight**2)
    module.optimizer.apply_gradients([(tape.gradient(loss, module.weight), module.weight)])
    module.serve = tf.function(
        lambda x: {"y": x @ module.weight}, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")]
    )
    path = directory / "trained"
    tf.saved_model.save(module, str(path), signatures=module.serve)
    source = artifact(
        "saved_model",
        path,
        [TensorSpec(name="x", dtype="float32", shape=("batch", 3))],
        [TensorSpec(name="y", dtype="float32", shape=("batch", 2))],
    )
    x = np.ones((4, 3), np.float32)
    for step in ("freeze", "saved_model_to_onnx"):
        result = apply(step, source, directory)
        answer = step_sources.run(result.format, result.path, {"x": x}, result.inputs, result.outputs)
        np.testing.assert_allclose(answer["y"], x @ module.weight.numpy(), rtol=1e-6)


def a_lookup_table_cannot_be_frozen(directory: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    keys, values = tf.constant([1, 2], tf.int64), tf.constant([1.0, 2.0])
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0.0)
    module.serve = tf.function(
        lambda ids: {"y": module.table.lookup(ids)}, input_signature=[tf.TensorSpec([None], tf.int64, name="ids")]
    )
    path = directory / "with_table"
    tf.saved_model.save(module, str(path), signatures=module.serve)
    source = artifact(
        "saved_model",
        path,
        [TensorSpec(name="ids", dtype="int64", shape=("batch",))],
        [TensorSpec(name="y", dtype="float32", shape=("batch",))],
    )
    assert "lookup tables" in str(failure("freeze", source, directory).hint)


def strip_keeps_what_flows_through_checks_and_branches(directory: Path) -> None:
    import tensorflow as tf

    def with_checks(x: Any) -> Any:
        tf.debugging.assert_greater_equal(x, -100.0)
        return tf.debugging.check_numerics(x, "x") * 2.0

    def with_branches(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0, lambda: x - 5.0)

    for position, function in enumerate((with_checks, with_branches)):
        source = _graph_of(function, directory / f"graph_{position}.pb")
        result = apply("strip", source, directory)
        for sign in (1.0, -1.0):
            x = np.full((2, 3), sign, np.float32)
            answer = step_sources.run(result.format, result.path, {"x": x}, result.inputs, result.outputs)
            np.testing.assert_allclose(answer["y"], function(tf.constant(x)).numpy())
    stripped = apply("strip", _graph_of(with_checks, directory / "again.pb"), directory)
    operators = {change.what for change in stripped.changes if change.after == 0}
    assert {"operator Assert", "operator CheckNumerics"} <= operators


def _graph_of(function: Any, path: Path) -> Artifact:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")], autograph=False)
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    return artifact(
        "frozen_graph",
        path,
        [TensorSpec(name="x", dtype="float32", shape=("batch", 3), native=frozen.inputs[0].name)],
        [TensorSpec(name="y", dtype="float32", shape=("batch", 3), native=frozen.outputs[0].name)],
    )


def unknown_operator_kinds_are_named_with_the_known_ones(directory: Path) -> None:
    error = failure("quantize_dynamic", step_sources.onnx_model(directory), directory, op_types=("Softplus",))
    assert "Softplus" in error.message
    assert "MatMul" in str(error.hint)


def a_model_without_quantizable_weights_is_a_failure(directory: Path) -> None:
    error = failure("quantize_dynamic", step_sources.onnx_model(directory), directory, op_types=("LSTM",))
    assert "no operator with constant weights" in error.message


def onnx_dimensions_carry_the_names_of_the_specs(directory: Path) -> None:
    import onnx

    source = step_sources.torch_encoder(directory)
    for exporter in ("dynamo", "legacy"):
        graph = onnx.load(apply("torch_to_onnx", source, directory, exporter=exporter).path).graph
        shapes = {value.name: _shape(value) for value in (*graph.input, *graph.output)}
        assert shapes == {spec.name: list(spec.shape) for spec in (*source.inputs, *source.outputs)}


def _shape(value: Any) -> list[int | str]:
    return [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def an_exported_program_does_not_carry_its_example(directory: Path) -> None:
    import torch

    program = torch.export.load(
        apply("torch_to_exported_program", step_sources.torch_encoder(directory), directory).path
    )
    assert program.example_inputs is None


def values_decide_the_path(_options: Mapping[str, Any]) -> Any:
    import torch

    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, features: Any) -> Any:
            return self.linear(features) if bool(features.sum() > 0) else features

    return Branching()


def a_network_that_torch_cannot_follow_is_one_line_with_a_hint(directory: Path) -> None:
    features = TensorSpec(name="features", dtype="float32", shape=("batch", 8))
    source = step_sources.torch_artifact(
        directory, values_decide_the_path, [features], [replace(features, name="answer")]
    )
    for step in ("torch_to_exported_program", "torch_to_onnx"):
        error = failure(step, source, directory)
        assert error.hint
        assert "\n" not in error.message
        assert len(error.message) < 500


def a_size_fixed_by_tracing_is_caught(directory: Path) -> None:
    features = TensorSpec(name="features", dtype="float32", shape=("batch", 8))
    source = step_sources.torch_artifact(
        directory, step_sources.sizes_as_plain_numbers, [features], [replace(features, name="answer")]
    )
    assert "while running Reshape node" in failure("torch_to_onnx", source, directory, exporter="legacy").message
    apply("torch_to_onnx", source, directory, exporter="dynamo")


def weights_beyond_the_limit_of_one_message_lie_beside_the_model(directory: Path) -> None:
    from converters import torch_to_onnx

    source = step_sources.torch_encoder(directory)
    limit = torch_to_onnx.EXTERNAL_DATA_FROM_BYTES
    torch_to_onnx.EXTERNAL_DATA_FROM_BYTES = 0
    try:
        result = apply("torch_to_onnx", source, directory)
    finally:
        torch_to_onnx.EXTERNAL_DATA_FROM_BYTES = limit
    beside = result.path.with_name("model.onnx.data")
    changes = {change.what: change.after for change in result.changes}
    assert changes["bytes"] == result.path.stat().st_size + beside.stat().st_size
    quantized = apply("quantize_dynamic", as_artifact(result), directory, op_types=("MatMul",))
    ids = {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.ones((1, 3), np.int64)}
    answer = step_sources.run("onnx", quantized.path, ids, quantized.inputs, quantized.outputs)
    assert np.isfinite(answer["embedding"]).all()


def real_samples_of_one_are_enough_for_dynamic_dimensions(directory: Path) -> None:
    source = step_sources.torch_encoder(directory)
    examples = Examples(inputs={"input_ids": np.full((4, 6), 49), "attention_mask": np.ones((4, 6), np.int64)})
    for step in ("torch_to_exported_program", "torch_to_onnx"):
        result = apply(step, source, directory, examples)
        for size in (1, 4):
            ids = {"input_ids": np.ones((size, 9), np.int64), "attention_mask": np.ones((size, 9), np.int64)}
            answer = step_sources.run(result.format, result.path, ids, result.inputs, result.outputs)
            assert answer["embedding"].shape == (size, 8)


SCENARIOS: Mapping[str, tuple[Scenario, ...]] = {
    **scenarios_torch.SCENARIOS,
    **scenarios_onnx.SCENARIOS,
    "learning": scenarios_learning.SCENARIOS,
    "openvino": scenarios_openvino.SCENARIOS,
    "tensorrt": scenarios_tensorrt.SCENARIOS,
    "tflite": scenarios_tflite.SCENARIOS,
    "tensorflow": (
        quantized_variances_are_caught_as_not_finite,
        nothing_to_quantize_is_a_failure,
        a_keras_model_saved_by_us_is_restored_as_serving_programs_do,
        names_that_python_cannot_spell_get_native_ones,
        several_inputs_and_outputs_find_their_names,
        outputs_in_a_dictionary_go_by_its_keys,
        a_model_saved_with_its_optimizer_can_be_frozen_and_converted,
        a_lookup_table_cannot_be_frozen,
        strip_keeps_what_flows_through_checks_and_branches,
    ),
    "onnx": (
        unknown_operator_kinds_are_named_with_the_known_ones,
        a_model_without_quantizable_weights_is_a_failure,
    ),
    "torch": (
        onnx_dimensions_carry_the_names_of_the_specs,
        an_exported_program_does_not_carry_its_example,
        a_network_that_torch_cannot_follow_is_one_line_with_a_hint,
        a_size_fixed_by_tracing_is_caught,
        weights_beyond_the_limit_of_one_message_lie_beside_the_model,
        real_samples_of_one_are_enough_for_dynamic_dimensions,
    ),
}
