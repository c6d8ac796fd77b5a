"""Quantize the weights of any TensorFlow Lite file to 8 bits; activations are quantized at run time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import check_batches, require_sound
from bench.formats.steps import count_changes, only_step_failures, table_blockers
from bench.formats.tflite_file import constant_bytes_by_type, operator_counts, run_tflite

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_tflite"
_HINT = "give it a .tflite file with float weights; the log holds the library's own words"
_RECIPES = {
    "dynamic_int8": "dynamic_wi8_afp32",
    "dynamic_int4": "dynamic_wi4_afp32",
    "weight_only_int8": "weight_only_wi8_afp32",
    "weight_only_int4": "weight_only_wi4_afp32",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeTfliteOptions:
    """`recipe`: `dynamic` computes in integers with activations quantized at run time; `weight_only` turns the weights
    back into float before it computes."""

    recipe: Literal["dynamic_int8", "dynamic_int4", "weight_only_int8", "weight_only_int4"] = "dynamic_int8"


class QuantizeTflite:
    """ai-edge-quantizer over the file alone: TensorFlow is not needed, and no calibration."""

    Options = QuantizeTfliteOptions

    def blockers(self, source_format: str, options: QuantizeTfliteOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: QuantizeTfliteOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.tflite` with the same inputs and outputs and smaller weights."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(source: Artifact, options: QuantizeTfliteOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    from ai_edge_quantizer import quantizer, recipe

    original, path = Path(source.path), out_dir / "model.tflite"
    worker = quantizer.Quantizer(str(original))
    worker.load_quantization_recipe(getattr(recipe, _RECIPES[options.recipe])())
    path.write_bytes(worker.quantize().quantized_model)

    before, after = constant_bytes_by_type(original), constant_bytes_by_type(path)
    if after["FLOAT32"] >= before["FLOAT32"]:
        raise StepFailed(
            f"{_NAME}: {source.path} has no float weights that {options.recipe} can quantize",
            hint="leave the variant out; small weights and those of 16 bits stay as they are",
        )
    batches = check_batches(source.inputs, examples)
    expected = run_tflite(original, batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, run_tflite(path, batches, source.inputs, source.outputs), strict=True):
        require_sound(_NAME, reference, answer)
    changes = (
        *count_changes(operator_counts(original), operator_counts(path), source.size_bytes, path.stat().st_size),
        *(
            Change(what=f"bytes of {name} constants", before=before[name], after=after[name])
            for name in sorted(before.keys() | after.keys())
            if before[name] != after[name]
        ),
    )
    return StepResult(format="tflite", path=path, inputs=source.inputs, outputs=source.outputs, changes=changes)


STEP = QuantizeTflite()
