"""What the steps on ONNX files must do beyond the checks that all share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.contracts import Examples, StepResult
from bench.core.errors import StepFailed
from tests.conformance import step_sources

Scenario = Callable[[Path], None]


def apply(name: str, source: Artifact, directory: Path, examples: Examples | None = None, **options: Any) -> StepResult:
    out_dir = directory / f"out_{len(list(directory.iterdir()))}"
    out_dir.mkdir()
    step = plugins.load("steps", name)
    return step.apply(source, step.Options(**options), out_dir, examples)


def failure(name: str, source: Artifact, directory: Path, **options: Any) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        apply(name, source, directory, **options)
    return caught.value


def as_artifact(result: StepResult) -> Artifact:
    return step_sources.artifact(result.format, result.path, result.inputs, result.outputs)


def answers(model: Any, batch: Mapping[str, Any]) -> Any:
    return step_sources.run("onnx", Path(model.path), batch, model.inputs, model.outputs)


def operators(result: StepResult) -> Mapping[str, float]:
    return {change.what.removeprefix("operator "): change.after for change in result.changes}


def convolutions_with_signed_weights_are_noted_as_slow(directory: Path) -> None:
    source = step_sources.onnx_convolutions(directory)
    slow = apply("quantize_dynamic", source, directory, weight_type="QInt8")
    assert "ConvInteger" in slow.notes[0]
    assert operators(slow)["ConvInteger"] == 2
    assert not apply("quantize_dynamic", source, directory).notes
    assert not apply("quantize_dynamic", source, directory, weight_type="QInt8", op_types=("MatMul",)).notes


def a_model_without_an_encoder_is_not_fused(directory: Path) -> None:
    error = failure("fuse_transformer", step_sources.onnx_convolutions(directory), directory)
    assert "nothing is fused" in error.message
    assert "exporter: legacy" in str(error.hint)


def attention_is_fused_and_keeps_masks_on_the_left(directory: Path) -> None:
    source = step_sources.onnx_encoder(directory)
    result = apply("fuse_transformer", source, directory)
    assert operators(result)["Attention"] == 1
    assert not any("no attention" in note for note in result.notes)
    batch = {"input_ids": np.arange(12).reshape(2, 6), "attention_mask": np.array([[0, 0, 1, 1, 1, 1], [1] * 6])}
    expected, actual = (answers(model, batch)["tokens"] for model in (source, result))
    np.testing.assert_allclose(actual[0, 2:], expected[0, 2:], atol=1e-4)


def a_fused_encoder_can_be_quantized(directory: Path) -> None:
    fused = apply("fuse_transformer", step_sources.onnx_encoder(directory), directory)
    result = apply("quantize_dynamic", as_artifact(fused), directory, weight_type="QInt8", per_channel=True)
    assert operators(result)["DynamicQuantizeLinear"] > 0


def what_the_exporter_of_today_writes_is_fused_without_its_attention_and_says_so(directory: Path) -> None:
    module = step_sources.torch_artifact(
        directory, step_sources.bert_layer, [step_sources.IDS, step_sources.MASK], [step_sources.TOKENS]
    )
    exported = apply("torch_to_onnx", module, directory, exporter="dynamo")
    result = apply("fuse_transformer", as_artifact(exported), directory)
    assert any("no attention was recognized" in note for note in result.notes)


def a_layout_of_this_machine_is_noted(directory: Path) -> None:
    source = step_sources.onnx_convolutions(directory)
    assert "another kind of CPU" in " ".join(apply("optimize_onnx", source, directory, level="all").notes)
    basic = apply("optimize_onnx", source, directory, level="basic")
    assert not basic.notes
    assert "nothing to do" in apply("optimize_onnx", as_artifact(basic), directory, level="basic").notes[0]


def ranges_are_learnt_from_no_more_samples_than_asked(directory: Path) -> None:
    source = step_sources.onnx_convolutions(directory)
    examples = step_sources.examples_for(source)
    beyond = dict(examples.inputs)
    beyond["image"] = np.concatenate([beyond["image"][:10], 1000 * beyond["image"][10:]])
    few = apply("quantize_static", source, directory, Examples(inputs=beyond), samples=10)
    assert "from 10 examples" in few.notes[0]
    batch = {"image": examples.inputs["image"][:4]}
    expected = answers(source, batch)["scores"]
    all_of_them = apply("quantize_static", source, directory, Examples(inputs=beyond), samples=64)
    close, far = (np.abs(answers(model, batch)["scores"] - expected).max() for model in (few, all_of_them))
    assert close * 10 < far


def without_examples_nothing_is_calibrated(directory: Path) -> None:
    error = failure("quantize_static", step_sources.onnx_convolutions(directory), directory)
    assert "no examples" in error.message
    assert "examples:" in str(error.hint)


def symmetric_ranges_have_no_zero_points_and_float_biases(directory: Path) -> None:
    import onnx

    source = step_sources.onnx_convolutions(directory)
    result = apply("quantize_static", source, directory, step_sources.examples_for(source), symmetric=True)
    graph = onnx.load(result.path).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    points = [values[node.input[2]] for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert points
    assert all(point.dtype == np.int8 and not point.any() for point in points)


def a_bias_of_two_nodes_gets_no_name_that_is_taken(directory: Path) -> None:
    """The library's own copy of `bias` is called `bias0`, and so is a value of this graph."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(6)
    kernels = {name: rng.standard_normal((3, 3, 1, 1)).astype(np.float32) for name in ("first", "second")}
    constants = {**kernels, "bias": np.ones(3, np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "first", "bias"], ["a"]),
            helper.make_node("Neg", ["a"], ["bias0"]),
            helper.make_node("Conv", ["bias0", "second", "bias"], ["maps"]),
        ],
        "shared_bias",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    source = step_sources.onnx_convolutions(directory)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), source.path)
    specs = [replace(spec, shape=("batch", 3, 8, 8)) for spec in source.inputs]
    source = replace(source, inputs=tuple(specs), outputs=(replace(specs[0], name="maps"),))
    examples = step_sources.examples_for(source)
    result = apply("quantize_static", source, directory, examples)
    batch = {"image": examples.inputs["image"][:4]}
    expected, actual = (answers(model, batch)["maps"] for model in (source, result))
    assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def processors_without_dot_products_get_seven_bits(directory: Path) -> None:
    from optimizers import processor, quantize_static

    kinds = {"x86_64": {"flags\t\t: sse avx2": "x86", "flags\t: avx2 avx512_vnni": "x86-vnni"}, "aarch64": {"": "arm"}}
    for machine, files in kinds.items():
        for text, kind in files.items():
            cpuinfo = directory / "cpuinfo"
            cpuinfo.write_text(f"processor : 0\n{text}\n")
            assert processor.arithmetic(machine, cpuinfo) == kind
    source = step_sources.onnx_convolutions(directory)
    ours = quantize_static.arithmetic
    try:
        quantize_static.arithmetic = lambda: "x86"
        result = apply("quantize_static", source, directory, step_sources.examples_for(source))
    finally:
        quantize_static.arithmetic = ours
    assert "weights QInt8 in 7 bits" in result.notes[0]


def steps_that_find_nothing_to_change_fail(directory: Path) -> None:
    source = step_sources.onnx_convolutions(directory)
    assert "no MatMul" in failure("quantize_matmul", source, directory).message
    half = as_artifact(apply("float16", source, directory))
    assert "no 32-bit weights" in failure("float16", half, directory).message
    for kind in ("Split", "GlobalAveragePool"):  # the second gets its pairs of nodes, and has no weights
        with pytest.raises(StepFailed, match="no operator with constant weights"):
            apply("quantize_static", source, directory, step_sources.examples_for(source), op_types=(kind,))


def without_its_packages_the_converter_names_the_command(directory: Path) -> None:
    from converters import onnx2tf_packages

    step = plugins.load("steps", "onnx_to_saved_model")
    source = step_sources.onnx_convolutions(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPLOYBENCH_CACHE", str(directory / "empty"))
        assert any(onnx2tf_packages.COMMAND in reason for reason in step.blockers("onnx", step.Options()))
        assert failure("onnx_to_saved_model", source, directory).hint == onnx2tf_packages.COMMAND


SCENARIOS: Mapping[str, tuple[Scenario, ...]] = {
    "onnx2tf": (without_its_packages_the_converter_names_the_command,),
    "onnx_tools": (
        convolutions_with_signed_weights_are_noted_as_slow,
        a_model_without_an_encoder_is_not_fused,
        attention_is_fused_and_keeps_masks_on_the_left,
        a_fused_encoder_can_be_quantized,
        what_the_exporter_of_today_writes_is_fused_without_its_attention_and_says_so,
        a_layout_of_this_machine_is_noted,
        ranges_are_learnt_from_no_more_samples_than_asked,
        without_examples_nothing_is_calibrated,
        symmetric_ranges_have_no_zero_points_and_float_biases,
        a_bias_of_two_nodes_gets_no_name_that_is_taken,
        processors_without_dot_products_get_seven_bits,
        steps_that_find_nothing_to_change_fail,
    ),
}
