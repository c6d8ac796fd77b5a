"""Store the weights of linear layers in 8 bits (torchao)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.exported_program import export, operator_counts
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import load_source

from .torch_programs import write_program

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_torchao"
_HINT = "the network's Python may depend on values, which torch.export cannot follow; the log holds torch's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeTorchaoOptions:
    """`activations`: left in float32, or quantized to int8 in every call, so that matrices are multiplied in 8 bits."""

    activations: Literal["float32", "int8"] = "float32"


class QuantizeTorchao:
    """`torchao.quantization.quantize_` with a weight of 8 bits and one scale per output channel."""

    Options = QuantizeTorchaoOptions

    def blockers(self, source_format: str, options: QuantizeTorchaoOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: QuantizeTorchaoOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.pt2` with 8-bit weights of linear layers, all else as it was."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(
    source: Artifact, options: QuantizeTorchaoOptions, out_dir: Path, examples: Examples | None
) -> StepResult:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_
    from torchao.utils import unwrap_tensor_subclass

    torch_source = load_source(source, examples)
    before = operator_counts(export(torch_source.module, torch_source))
    module = load_source(source, examples).module
    quantize_(
        module, Int8WeightOnlyConfig() if options.activations == "float32" else Int8DynamicActivationInt8WeightConfig()
    )
    quantized, linear = _linear_layers(module)
    if not quantized:
        raise StepFailed(
            f"{_NAME}: {source.path} has no linear layer that torchao quantizes ({linear} in all)",
            hint="the projection that attention of torch.nn ends in is none; leave the variant out",
        )
    unwrap_tensor_subclass(module)  # plain tensors: a file of the subclasses would depend on torchao's own classes
    notes = (f"{quantized} of {linear} linear layers have 8-bit weights; all else is as it was",)
    return write_program(_NAME, source, torch_source, module, before, out_dir, examples, notes)


def _linear_layers(module: Any) -> tuple[int, int]:
    """How many linear layers have a weight of torchao's, and how many there are: some it leaves out without a word."""
    import torch

    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    return sum(type(layer.weight) is not torch.nn.Parameter for layer in layers), len(layers)


STEP = QuantizeTorchao()
