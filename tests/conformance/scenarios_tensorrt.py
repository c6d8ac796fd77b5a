"""What building a TensorRT engine must do beyond the checks that all steps share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.artifact import Artifact
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


def the_engine_says_who_built_it_for_what_and_that_nothing_ran_it(directory: Path) -> None:
    result = build(step_sources.onnx_model(directory), directory)
    changes = {change.what: change for change in result.changes}
    assert changes["operators that TensorRT takes"].before == changes["operators that TensorRT takes"].after == 2
    assert result.notes[0].startswith("built by tensorrt")
    assert "SM86, SM89, SM120" in result.notes[0]
    assert "no CUDA device" in result.notes[1]


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    what_the_library_says_instead_of_raising_is_told,
    an_unknown_gpu_is_named_with_the_known_ones,
    only_symmetric_quantization_is_taken,
    the_engine_says_who_built_it_for_what_and_that_nothing_ran_it,
)
