"""Quantize weights and activations of OpenVINO IR to 8 bits, with ranges learned from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import batches_of
from bench.formats.openvino_ir import read_ir
from bench.formats.steps import only_step_failures, table_blockers

from .openvino_model import save_checked

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_openvino"
_HINT = "give it OpenVINO IR of float precision; the log holds NNCF's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeOpenvinoOptions:
    """`preset`: mixed quantizes activations asymmetrically, performance symmetrically. `model_type`: transformer adds
    NNCF's rules for attention. `subset_size`: samples to learn from. `fast_bias_correction`: false corrects biases
    layer by layer, more precisely and much more slowly."""

    preset: Literal["performance", "mixed"] = "performance"
    model_type: Literal["", "transformer"] = ""
    subset_size: int = 300
    fast_bias_correction: bool = True


class QuantizeOpenvino:
    """`nncf.quantize` on the model in memory."""

    Options = QuantizeOpenvinoOptions

    def blockers(self, source_format: str, options: QuantizeOpenvinoOptions) -> Sequence[str]:
        """What the table line says is missing, and a subset without samples."""
        reasons = table_blockers(_NAME, source_format)
        if options.subset_size < 1:
            reasons.append(f"{_NAME} learns from at least one sample: choose a subset_size above 0")
        return reasons

    def apply(
        self, source: Artifact, options: QuantizeOpenvinoOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.xml` and `model.bin` with the same inputs and outputs and 8-bit operators."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(
    source: Artifact, options: QuantizeOpenvinoOptions, out_dir: Path, examples: Examples | None
) -> StepResult:
    model = read_ir(source)
    batches = [] if examples is None else batches_of(examples, source.inputs, size=1, count=options.subset_size)
    if not batches:
        raise StepFailed(f"{_NAME} needs samples to learn from, and there are none", hint="give the model examples")

    import nncf

    samples = [{spec.native_name: batch[spec.name] for spec in source.inputs} for batch in batches]
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset(options.preset),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(samples),
        fast_bias_correction=options.fast_bias_correction,
        model_type=nncf.ModelType(options.model_type) if options.model_type else None,
    )
    notes = (f"ranges of activations were learned from {len(batches)} samples, one at a time",)
    return save_checked(_NAME, source, quantized, out_dir, examples, notes)


STEP = QuantizeOpenvino()
