"""What the steps around TensorFlow Lite and served graphs must do beyond the checks that all share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import Examples, StepResult
from bench.core.errors import StepFailed
from bench.formats.frozen_graph import read_graph
from tests.conformance import step_sources
from tests.conformance.step_sources import IMAGE, SCORES, artifact

if TYPE_CHECKING:
    from collections.abc import Callable


def apply(name: str, source: Artifact, directory: Path, **options: Any) -> StepResult:
    out_dir = directory / f"out_{name}_{len(list(directory.glob('out_*')))}"
    out_dir.mkdir()
    step = plugins.load("steps", name)
    examples = step_sources.examples_for(source) if plugins.lookup("steps", name).learns_from else None
    result: StepResult = step.apply(source, step.Options(**options), out_dir, examples)
    return result


def as_artifact(result: StepResult) -> Artifact:
    return artifact(result.format, result.path, result.inputs, result.outputs)


def images(count: int) -> Any:
    return np.random.default_rng(0).random((count, 12, 12, 3), dtype=np.float32)


def every_graph_variant_is_restored_as_serving_programs_do(directory: Path) -> None:
    import tensorflow as tf

    source = step_sources.frozen_graph(directory)
    source = replace(source, inputs=(replace(source.inputs[0], name="1.image"),))
    for name in ("fold", "quantize_weights"):
        graph = as_artifact(apply(name, source, directory))
        result = apply("frozen_graph_to_saved_model", graph, directory)
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(result.path))
            signature = loaded.signature_def["serving_default"]
            tensors = signature.inputs["tensor_1_image"].name, signature.outputs["scores"].name
            served = session.run(tensors[1], {tensors[0]: images(2)})
        expected = step_sources.run(
            "frozen_graph", Path(graph.path), {"1.image": images(2)}, graph.inputs, graph.outputs
        )
        np.testing.assert_allclose(served, expected["scores"], atol=1e-6)


def folded_constants_wait_for_no_placeholder(directory: Path) -> None:
    """A function whose arguments stand for the placeholders could not run such a graph."""
    frozen = as_artifact(apply("freeze", step_sources.saved_model(directory), directory))
    for name in ("fold", "quantize_weights"):
        graph = read_graph(apply(name, frozen, directory).path)
        assert not [node.name for node in graph.node if "^image" in node.input]


def folding_keeps_branches_and_both_of_two_equal_outputs(directory: Path) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def branches(x: Any) -> Any:
        y = tf.cond(tf.reduce_sum(x) > 0.0, lambda: x + 1.0 + 1.0, lambda: x - 5.0)
        return [y, y]

    traced = tf.function(branches, input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")], autograph=False)
    for lower in (True, False):
        frozen = convert_variables_to_constants_v2(traced.get_concrete_function(), lower)
        path = directory / f"branches_{lower}.pb"
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        wide = TensorSpec(name="x", dtype="float32", shape=("batch", 3), native=frozen.inputs[0].name)
        outputs = [replace(wide, name=f"y{i}", native=tensor.name) for i, tensor in enumerate(frozen.outputs)]
        result = apply("fold", artifact("frozen_graph", path, [wide], outputs), directory)
        for sign, expected in ((1.0, 3.0), (-1.0, -6.0)):
            x = np.full((2, 3), sign, np.float32)
            answer = step_sources.run("frozen_graph", result.path, {"x": x}, result.inputs, result.outputs)
            assert (answer["y0"] == expected).all()
            assert (answer["y1"] == expected).all()


def several_inputs_and_outputs_keep_their_order_in_tflite(directory: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(
        lambda left, right: {"a_sum": left + right, "b_double": left * 2.0, "c_same": right},
        input_signature=[tf.TensorSpec([None, 3], name="left"), tf.TensorSpec([None, 3], name="right")],
    )
    path = directory / "three"
    tf.saved_model.save(module, str(path), signatures=module.serve)
    wide = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    source = artifact(
        "saved_model",
        path,
        [replace(wide, name=name) for name in ("right", "left")],
        [replace(wide, name=name) for name in ("c_same", "b_double", "a_sum")],
    )
    batch = {"left": np.full((2, 3), 5, np.float32), "right": np.full((2, 3), 1, np.float32)}
    result = apply("to_tflite", source, directory)
    answer = step_sources.run("tflite", result.path, batch, result.inputs, result.outputs)
    assert {name: float(values.mean()) for name, values in answer.items()} == {"c_same": 1, "b_double": 10, "a_sum": 6}
    computed = replace(as_artifact(result), outputs=result.outputs[1:])
    back = apply("tflite_to_onnx", computed, directory)
    answer = step_sources.run("onnx", back.path, batch, back.inputs, back.outputs)
    assert {name: float(values.mean()) for name, values in answer.items()} == {"b_double": 10, "a_sum": 6}


def both_forms_of_gelu_reach_onnx(directory: Path) -> None:
    import tensorflow as tf

    wide = TensorSpec(name="x", dtype="float32", shape=("batch", 9))
    for approximate in (True, False):
        module = tf.Module()
        signature = [tf.TensorSpec([None, 9], name="x")]
        module.serve = tf.function(lambda x, kind=approximate: {"y": tf.nn.gelu(x, kind)}, input_signature=signature)
        path = directory / str(approximate)
        tf.saved_model.save(module, str(path), signatures=module.serve)
        result = apply("to_tflite", artifact("saved_model", path, [wide], [replace(wide, name="y")]), directory)
        back = apply("tflite_to_onnx", as_artifact(result), directory)
        x = np.linspace(-4, 4, 9, dtype=np.float32)[None]
        answer = step_sources.run("onnx", back.path, {"x": x}, back.inputs, back.outputs)
        np.testing.assert_allclose(answer["y"], tf.nn.gelu(x, approximate).numpy(), atol=1e-6)


def a_sequence_stays_open_unless_its_size_is_given(directory: Path) -> None:
    source = sequence_model(directory)
    opened = apply("to_tflite", source, directory)
    assert opened.inputs[0].shape == ("batch", "sequence")
    for size in (4, 9):
        ids = {"ids": np.ones((2, size), np.int64)}
        assert step_sources.run("tflite", opened.path, ids, opened.inputs, opened.outputs)["tokens"].shape == (
            2,
            size,
            8,
        )
    fixed = apply("to_tflite", source, directory, sizes=("sequence=16",))
    assert fixed.inputs[0].shape == ("batch", 16)
    assert fixed.outputs[0].shape == ("batch", 16, 8)
    quantized = apply("to_tflite_int8", source, directory, sizes=("sequence=16",))
    assert quantized.inputs[0].shape == ("batch", 16)
    with pytest.raises(StepFailed, match="the examples have 16"):
        apply("to_tflite_int8", source, directory, sizes=("sequence=32",))


def sizes_of_no_dimension_are_refused_with_those_there_are(directory: Path) -> None:
    source = sequence_model(directory)
    for step in ("to_tflite", "to_tflite_int8"):
        with pytest.raises(StepFailed, match="'sequense'") as caught:
            apply(step, source, directory, sizes=("sequense=16",))
        assert caught.value.hint == "choose from batch, sequence"
        plugin = plugins.load("steps", step)
        for wrong in ("=16", "sequence=0", "sequence"):
            assert plugin.blockers("saved_model", plugin.Options(sizes=(wrong,)))


def what_has_no_weights_to_narrow_is_a_failure(directory: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(lambda x: {"y": x + x}, input_signature=[tf.TensorSpec([None, 3], name="x")])
    path = directory / "double"
    tf.saved_model.save(module, str(path), signatures=module.serve)
    wide = TensorSpec(name="x", dtype="float32", shape=("batch", 3))
    source = artifact("saved_model", path, [wide], [replace(wide, name="y")])
    for precision, kind in (("dynamic_int8", "INT8 or INT4"), ("float16", "FLOAT16")):
        with pytest.raises(StepFailed, match=f"no weights that became {kind}"):
            apply("to_tflite", source, directory, precision=precision)
    with pytest.raises(StepFailed, match="no weights that became INT8"):
        apply("to_tflite_int8", source, directory, float_fallback=True)


def examples_that_do_not_fit_are_told_before_converting(directory: Path) -> None:
    source = step_sources.saved_model(directory)
    step = plugins.load("steps", "to_tflite_int8")
    with pytest.raises(StepFailed, match=r"no input 'image'; they have 'picture'"):
        step.apply(source, step.Options(), directory, Examples(inputs={"picture": images(4)}))
    with pytest.raises(StepFailed, match="64 samples, fewer than one batch"):
        apply("to_tflite_int8", source, directory, sizes=("batch=65",))
    fixed = apply("to_tflite_int8", source, directory, sizes=("batch=5",))
    assert fixed.inputs[0].shape[0] == 5


def sequence_model(directory: Path) -> Artifact:
    """A table, attention over it, and a normalization."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    ids = keras.Input((None,), dtype="int64", name="ids")
    x = keras.layers.Embedding(50, 8)(ids)
    x = keras.layers.LayerNormalization()(x + keras.layers.MultiHeadAttention(2, 4)(x, x))
    model = keras.Model(ids, x)
    holder = tf.Module()
    holder.weights = [variable.value for variable in model.variables]
    signature = [tf.TensorSpec([None, None], tf.int64, name="ids")]
    holder.serve = tf.function(lambda ids: {"tokens": model(ids, training=False)}, input_signature=signature)
    path = directory / "sequence"
    tf.saved_model.save(holder, str(path), signatures=holder.serve)
    inputs = [TensorSpec(name="ids", dtype="int64", shape=("batch", "sequence"))]
    outputs = [TensorSpec(name="tokens", dtype="float32", shape=("batch", "sequence", 8))]
    return artifact("saved_model", path, inputs, outputs)


def full_integers_are_stored_and_computed(directory: Path) -> None:
    from bench.formats.tflite_file import operator_counts

    result = apply("to_tflite_int8", step_sources.saved_model(directory), directory)
    counts = operator_counts(result.path)
    assert (counts["QUANTIZE"], counts["DEQUANTIZE"]) == (1, 1)
    stored = {change.what: change.after for change in result.changes}
    assert stored["bytes of FLOAT32 constants"] == 0
    assert stored["bytes of INT8 constants"] > 10_000


def layers_of_nested_models_are_quantized_and_counted(directory: Path) -> None:
    import keras

    features = keras.Input((8,), name="features")
    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(4)])
    path = directory / "nested.keras"
    keras.Model(features, inner(features)).save(path)
    spec = TensorSpec(name="features", dtype="float32", shape=("batch", 8))
    source = artifact("keras", path, [spec], [replace(spec, name="scores", shape=("batch", 4))])
    result = apply("quantize_keras", source, directory)
    counts = {change.what: (change.before, change.after) for change in result.changes}
    assert counts["quantized layers"] == (0, 2)
    assert counts["layers"][0] == counts["layers"][1] > 2


def a_file_without_float_weights_is_a_failure(directory: Path) -> None:
    source = as_artifact(apply("quantize_tflite", step_sources.tflite_model(directory), directory))
    with pytest.raises(StepFailed) as caught:
        apply("quantize_tflite", source, directory)
    assert "no float weights" in caught.value.message


def the_converter_given_the_keras_model_writes_answers_that_are_no_numbers(directory: Path) -> None:
    """Why the model never stands beside its function: the tool reports success, and only running the file tells."""
    import keras
    import tensorflow as tf

    from bench.formats.examples import require_sound
    from bench.formats.tflite_file import by_position, open_interpreter, run_tflite

    model = keras.models.load_model(step_sources.keras_model(directory).path)
    holder = tf.Module()
    holder.model = model
    holder.serve = tf.function(
        lambda image: {"scores": model(image, training=False)},
        input_signature=[tf.TensorSpec([None, 12, 12, 3], name="image")],
    )
    tf.saved_model.save(holder, str(directory / "holder"), signatures=holder.serve)
    path = directory / "broken.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(directory / "holder")).convert())
    interpreter = open_interpreter(path, threads=1)
    inputs = by_position(interpreter, [IMAGE], kind="input")
    outputs = by_position(interpreter, [SCORES], kind="output")
    (answer,) = run_tflite(path, [{"image": images(1)}], inputs, outputs)
    with pytest.raises(StepFailed, match="not finite"):
        require_sound("to_tflite", {"scores": model(images(1)).numpy()}, answer)


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    every_graph_variant_is_restored_as_serving_programs_do,
    folded_constants_wait_for_no_placeholder,
    folding_keeps_branches_and_both_of_two_equal_outputs,
    several_inputs_and_outputs_keep_their_order_in_tflite,
    both_forms_of_gelu_reach_onnx,
    a_sequence_stays_open_unless_its_size_is_given,
    sizes_of_no_dimension_are_refused_with_those_there_are,
    what_has_no_weights_to_narrow_is_a_failure,
    examples_that_do_not_fit_are_told_before_converting,
    full_integers_are_stored_and_computed,
    layers_of_nested_models_are_quantized_and_counted,
    a_file_without_float_weights_is_a_failure,
    the_converter_given_the_keras_model_writes_answers_that_are_no_numbers,
)
