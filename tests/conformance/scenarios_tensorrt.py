"""What building a TensorRT engine must do beyond the checks that all steps share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from tests.conformance import step_sources


def build(source: Artifact, directory: Path, **options: object) -> StepResult:
    step = plugins.load("steps", "onnx_to_tensorrt")
    return step.apply(source, step.Options(**options), directory, None)


def what_the_library_says_instead_of_raising_is_told(directory: Path) -> None:
    with pytest.raises(StepFailed, match=r"SM75.*FP32 GEMM is not supported"):
        build(step_sources.onnx_model(directory), directory, compute_capabilities=("SM75",))


def an_unknown_gpu_is_named_with_the_known_ones(directory: Path) -> None:
    with pytest.raises(StepFailed, match="SM20") as caught:
        build(step_sources.onnx_model(directory), directory, compute_capabilities=("SM20",))
    assert "SM89" in str(caught.value.hint)


def only_symmetric_quantization_is_taken(directory: Path) -> None:
    source = step_sources.onnx_model(directory)
    quantize = plugins.load("steps", "quantize_static")
    for symmetric in (False, True):
        out_dir = directory / str(symmetric)
        out_dir.mkdir()
        options = quantize.Options(symmetric=symmetric, activation_type="QInt8" if symmetric else "QUInt8")
        made = quantize.apply(source, options, out_dir, step_sources.examples_for(source))
        quantized = step_sources.artifact("onnx", made.path, made.inputs, made.outputs)
        if symmetric:
            assert build(quantized, out_dir).path.stat().st_size > 0
        else:
            with pytest.raises(StepFailed, match="operators are taken") as caught:
                build(quantized, out_dir)
            assert "symmetric" in str(caught.value.hint)


def the_engine_says_who_built_it_for_what_and_nothing_of_the_machine_that_reads_it(directory: Path) -> None:
    result = build(step_sources.onnx_model(directory), directory)
    changes = {change.what: change for change in result.changes}
    assert changes["operators that TensorRT takes"].before == changes["operators that TensorRT takes"].after == 2
    assert result.notes[0].startswith("built by tensorrt")
    assert "SM86, SM89, SM120" in result.notes[0]
    assert not any("CUDA" in note for note in result.notes)


def products_are_rounded_to_tf32_only_when_it_is_asked_for(directory: Path) -> None:
    source = step_sources.onnx_model(directory)
    exact = build(source, directory)
    content = exact.path.read_bytes()
    rounded = build(source, directory, tf32=True)
    assert exact.notes[1].endswith("(TF32 is off)")
    assert "rounded to TF32" in rounded.notes[1]
    assert rounded.path.read_bytes() != content


def eight_rows(directory: Path, batch: str) -> Artifact:
    """A constant of eight rows is added: no other batch fits."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        [helper.make_node("Add", ["features", "rows"], ["sums"])],
        "eight_rows",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, 12])],
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, [batch, 12])],
        [numpy_helper.from_array(np.ones((8, 12), np.float32), "rows")],
    )
    path = directory / "rows.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    features = TensorSpec(name="features", dtype="float32", shape=(batch, 12))
    return step_sources.artifact("onnx", path, [features], [replace(features, name="sums")])


def the_first_axis_is_the_batch_whatever_its_name(directory: Path) -> None:
    source = eight_rows(directory, "rows_of_mine")
    eight = {"min_batch": 8, "opt_batch": 8, "max_batch": 8}
    assert build(source, directory, **eight).path.stat().st_size > 0
    with pytest.raises(StepFailed, match="no engine was built"):
        build(source, directory, ranges=("rows_of_mine=1:32:128",), **eight)


def ranges_of_no_dimension_are_refused_with_those_there_are(directory: Path) -> None:
    with pytest.raises(StepFailed, match="'sequense'") as caught:
        build(step_sources.onnx_model(directory), directory, ranges=("sequense=1:2:4",))
    assert caught.value.hint == "choose from batch"


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    what_the_library_says_instead_of_raising_is_told,
    an_unknown_gpu_is_named_with_the_known_ones,
    only_symmetric_quantization_is_taken,
    the_engine_says_who_built_it_for_what_and_nothing_of_the_machine_that_reads_it,
    products_are_rounded_to_tf32_only_when_it_is_asked_for,
    the_first_axis_is_the_batch_whatever_its_name,
    ranges_of_no_dimension_are_refused_with_those_there_are,
)
