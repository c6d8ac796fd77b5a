"""What single steps for PyTorch must do beyond the checks that all share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import ExecutionUnavailable, StepFailed, TargetError
from tests.conformance import step_sources

FEATURES = TensorSpec(name="features", dtype="float32", shape=("batch", 8))


def apply(name: str, source: Artifact, directory: Path, **options: Any) -> StepResult:
    out_dir = directory / f"out_{name}"
    out_dir.mkdir(exist_ok=True)
    step = plugins.load("steps", name)
    examples = step_sources.examples_for(source) if plugins.lookup("steps", name).learns_from else None
    result: StepResult = step.apply(source, step.Options(**options), out_dir, examples)
    return result


def failure(name: str, source: Artifact, directory: Path) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        apply(name, source, directory)
    return caught.value


def opened(adapter: str, result: StepResult, **options: Any) -> Any:
    made = step_sources.artifact(result.format, result.path, result.inputs, result.outputs)
    plugin = plugins.load("adapters", adapter)
    return plugin.open(made, threads=1, options=plugin.Options(**options))


def rectifier(_options: Mapping[str, Any]) -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.ReLU())


def what_has_nothing_to_change_is_a_failure(directory: Path) -> None:
    source = step_sources.torch_artifact(directory, rectifier, [FEATURES], [replace(FEATURES, name="answer")])
    assert "no operator that can be quantized" in failure("quantize_pt2e", source, directory).message
    assert "no linear layer" in failure("quantize_torchao", source, directory).message
    assert "no batch norm" in failure("fuse_batch_norm", source, directory).message


def attention_alone(_options: Mapping[str, Any]) -> Any:
    """Its projection is a linear layer for Python, and none for torchao."""
    import torch

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, features: Any) -> Any:
            return self.attention(features, features, features, need_weights=False)[0]

    return Attention()


def linear_layers_that_torchao_leaves_out_are_not_taken_for_quantized(directory: Path) -> None:
    words = replace(FEATURES, shape=("batch", "sequence", 8))
    source = step_sources.torch_artifact(directory, attention_alone, [words], [replace(words, name="answer")])
    assert "(1 in all)" in failure("quantize_torchao", source, directory).message
    (directory / "whole").mkdir()
    encoder = step_sources.torch_encoder(directory / "whole")
    assert "4 of 4 linear layers" in apply("quantize_torchao", encoder, directory).notes[0]


def fewer_examples_than_a_batch_calibrate_nothing(directory: Path) -> None:
    source = step_sources.torch_classifier(directory)
    with pytest.raises(StepFailed, match=r"calibration_batch_size 65"):
        apply("quantize_pt2e", source, directory, calibration_batch_size=65)
    quantized = apply("quantize_pt2e", source, directory, calibration_batch_size=10, calibration_batches=3)
    assert "from 30 examples in 3 batches" in quantized.notes[0]


def a_quantized_program_is_not_compiled_to_floats(directory: Path) -> None:
    quantized = apply("quantize_pt2e", step_sources.torch_classifier(directory), directory)
    source = step_sources.artifact("exported_program", quantized.path, quantized.inputs, quantized.outputs)
    error = failure("exported_program_to_aot_inductor", source, directory)
    assert "computed in floats" in error.message
    assert error.hint == "set freezing: true"


def quantized_weights_replace_the_float_ones(directory: Path) -> None:
    source = step_sources.torch_classifier(directory)
    quantized = apply("quantize_pt2e", source, directory)
    changes = {change.what: change for change in quantized.changes}
    assert changes["operator aten.batch_norm.default"].after == 0
    import torch

    from bench.formats.exported_program import load_exported

    matrices = [tensor for tensor in load_exported(quantized.path).state_dict.values() if tensor.ndim > 1]
    assert {tensor.dtype for tensor in matrices} == {torch.int8}


def a_quantized_program_is_opened_compiled_or_not(directory: Path) -> None:
    source = step_sources.torch_classifier(directory)
    quantized = apply("quantize_pt2e", source, directory)
    batch = {"image": np.random.default_rng(0).random((3, 3, 12, 12), dtype=np.float32)}
    plain = opened("torch", quantized)
    frozen = opened("torch", quantized, compile="freezing")
    expected, answer = plain.run(batch)["scores"], frozen.run(batch)["scores"]
    assert float(np.abs(answer - expected).max() / np.abs(expected).max()) < 0.05
    assert plain.compile_s is None
    assert frozen.compile_s > 0.1
    assert frozen.provider == "cpu, torch.compile freezing"
    _remove_the_compilers_cache()


def _remove_the_compilers_cache() -> None:
    """It lies among the temporary files, which in a worker end with the process."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    shutil.rmtree(default_cache_dir())


def a_quantized_program_is_compiled_to_8_bit_kernels(directory: Path) -> None:
    source = step_sources.torch_classifier(directory)
    quantized = apply("quantize_pt2e", source, directory)
    as_source = step_sources.artifact("exported_program", quantized.path, quantized.inputs, quantized.outputs)
    package = apply("exported_program_to_aot_inductor", as_source, directory, freezing=True)
    assert b"qconv" in package.path.read_bytes()
    batch = {"image": np.random.default_rng(0).random((5, 3, 12, 12), dtype=np.float32)}
    expected = opened("torch", quantized).run(batch)["scores"]
    np.testing.assert_allclose(opened("aot_inductor", package).run(batch)["scores"], expected, atol=0.05)


def a_package_is_refused_by_what_cannot_run_it(directory: Path) -> None:
    from bench.formats import torch_inductor

    package = apply(
        "exported_program_to_aot_inductor", step_sources.exported_encoder(directory), directory, freezing=False
    )
    with pytest.raises(TargetError, match="a package of AOTInductor"):
        opened("torch", replace(package, format="exported_program"))
    with pytest.MonkeyPatch.context() as patch:
        ours = torch_inductor.processor_features()
        patch.setattr("bench.formats.aot_inductor.processor_features", lambda: ours - {max(ours)})
        with pytest.raises(ExecutionUnavailable, match=max(ours)):
            opened("aot_inductor", package)


def a_script_says_what_it_takes(directory: Path) -> None:
    from bench.adapters.inspect import signature

    source = step_sources.torch_classifier(directory)
    script = apply("torch_to_torchscript", source, directory)
    inputs, outputs = signature("torchscript", script.path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in inputs] == [("image", "float32", ("batch", 3, 12, 12))]
    assert [(spec.name, spec.dtype, spec.shape) for spec in outputs] == [("output", "float32", ("batch", 10))]


def a_size_fixed_in_a_script_is_caught(directory: Path) -> None:
    source = step_sources.torch_artifact(
        directory, step_sources.sizes_as_plain_numbers, [FEATURES], [replace(FEATURES, name="answer")]
    )
    error = failure("torch_to_torchscript", source, directory)
    assert "shape '[4, 4]' is invalid for input of size 8" in error.message
    assert "torch_to_exported_program" in str(error.hint)


SCENARIOS: Mapping[str, tuple[Callable[[Path], None], ...]] = {
    "torch_programs": (
        what_has_nothing_to_change_is_a_failure,
        linear_layers_that_torchao_leaves_out_are_not_taken_for_quantized,
        fewer_examples_than_a_batch_calibrate_nothing,
        a_quantized_program_is_not_compiled_to_floats,
        quantized_weights_replace_the_float_ones,
        a_script_says_what_it_takes,
        a_size_fixed_in_a_script_is_caught,
    ),
    "aot_inductor": (a_package_is_refused_by_what_cannot_run_it,),
    # Apart, for compiling takes long: a family has one process, with a limit of its own.
    "torch_compiled": (
        a_quantized_program_is_compiled_to_8_bit_kernels,
        a_quantized_program_is_opened_compiled_or_not,
    ),
}
