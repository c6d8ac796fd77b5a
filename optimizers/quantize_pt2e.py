"""Quantize a torch module to 8 bits for x86 processors: weights, and activations by what calibration shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import batches_of
from bench.formats.exported_program import export, operator_counts
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import load_source, run_module

from .torch_programs import write_program

if TYPE_CHECKING:
    from bench.core.contracts import Array, Examples

_NAME = "quantize_pt2e"
_HINT = "the network's Python may depend on values, which torch.export cannot follow; the log holds torch's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizePt2eOptions:
    """`activations`: scales found by calibration (static), or anew in every call and for linear layers alone
    (dynamic). `calibration_batches` batches of `calibration_batch_size` examples are run to find them."""

    activations: Literal["static", "dynamic"] = "static"
    calibration_batches: int = 16
    calibration_batch_size: int = 4


class QuantizePt2e:
    """`prepare_pt2e` and `convert_pt2e` of torchao with its X86InductorQuantizer."""

    Options = QuantizePt2eOptions

    def blockers(self, source_format: str, options: QuantizePt2eOptions) -> Sequence[str]:
        """What the table line says is missing, and numbers of batches that are none."""
        reasons = table_blockers(_NAME, source_format)
        if options.calibration_batches < 1 or options.calibration_batch_size < 1:
            reasons.append(f"{_NAME}: calibration_batches and calibration_batch_size must be at least 1")
        return reasons

    def apply(
        self, source: Artifact, options: QuantizePt2eOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.pt2`, quick only where it is compiled with frozen weights."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(source: Artifact, options: QuantizePt2eOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    batches = _calibration_batches(source, options, examples)
    torch_source = load_source(source, examples)
    program = export(torch_source.module, torch_source)
    before = operator_counts(program)
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_dynamic=options.activations == "dynamic"))
    prepared = prepare_pt2e(program.module(), quantizer)
    for batch in batches:
        run_module(prepared, batch, source.inputs, torch_source.outputs)
    quantized = convert_pt2e(prepared)
    _drop_unused(quantized)
    if not any("dequantize" in str(node.target) for node in quantized.graph.nodes):
        raise StepFailed(
            f"{_NAME}: {source.path} has no operator that can be quantized with {options.activations} activations",
            hint="try the other choice of the option activations, or leave the variant out",
        )
    notes = (_note(batches),) if options.activations == "static" else ()
    return write_program(_NAME, source, torch_source, quantized, before, out_dir, examples, notes)


def _calibration_batches(
    source: Artifact, options: QuantizePt2eOptions, examples: Examples | None
) -> Sequence[Mapping[str, Array]]:
    size, count = options.calibration_batch_size, options.calibration_batches
    batches = [] if examples is None else batches_of(examples, source.inputs, size=size, count=count)
    if not batches:
        raise StepFailed(
            f"{_NAME}: there are not examples enough for one batch to calibrate with (calibration_batch_size {size})",
            hint="give the model more examples, or choose a smaller calibration_batch_size",
        )
    return batches


def _note(batches: Sequence[Mapping[str, Array]]) -> str:
    samples = sum(len(next(iter(batch.values()))) for batch in batches)
    return f"ranges of activations were learned from {samples} examples in {len(batches)} batches"


def _drop_unused(module: Any) -> None:
    """The float weights that 8-bit ones replaced are still there, and would be stored."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in used]:
        owner, _, attribute = name.rpartition(".")
        delattr(module.get_submodule(owner), attribute)


STEP = QuantizePt2e()
