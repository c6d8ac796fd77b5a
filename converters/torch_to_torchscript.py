"""Write a torch module as TorchScript by tracing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import TorchSource, flattened, load_source, run_module
from bench.formats.torchscript import SIGNATURE_NAME

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "torch_to_torchscript"
_HINT = "tracing writes down sizes that the network computes as plain numbers; torch_to_exported_program follows them"


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchToTorchscriptOptions:
    """`freeze` stores weights as constants of the graph, which lets TorchScript fold what depends on them alone."""

    freeze: bool = True


class TorchToTorchscript:
    """`torch.jit.trace`, then `torch.jit.freeze`."""

    Options = TorchToTorchscriptOptions

    def blockers(self, source_format: str, options: TorchToTorchscriptOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: TorchToTorchscriptOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.ts`, which takes tensors in the order of the inputs and gives them in that of the outputs."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, options, out_dir, examples)


def _convert(
    source: Artifact, options: TorchToTorchscriptOptions, out_dir: Path, examples: Examples | None
) -> StepResult:
    import torch

    torch_source = load_source(source, examples)
    # What tracing would check, and more, is checked below, with other sizes than those traced.
    script = torch.jit.trace(_in_order(torch_source, source.outputs), torch_source.example, check_trace=False)
    if options.freeze:
        script = torch.jit.freeze(script)
    path = out_dir / "model.ts"
    declared = {spec.name: (spec.dtype, spec.shape) for spec in source.inputs}
    torch.jit.save(script, str(path), _extra_files={SIGNATURE_NAME: json.dumps({"inputs": declared})})

    loaded = torch.jit.load(str(path))
    batches = check_batches(source.inputs, examples)
    for batch, expected in zip(batches, torch_source.answers(batches, source.inputs), strict=True):
        require_sound(_NAME, expected, run_module(loaded, batch, source.inputs, source.outputs))
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="tensors", before=len(torch_source.module.state_dict()), after=len(loaded.state_dict())),
        Change(what="nodes", before=0, after=len(list(loaded.inlined_graph.nodes()))),
    )
    outputs = tuple(TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape) for spec in source.outputs)
    return StepResult(format="torchscript", path=path, inputs=source.inputs, outputs=outputs, changes=changes)


def _in_order(source: TorchSource, outputs: Sequence[TensorSpec]) -> Any:
    """The network with its answer as a tuple in the order of `outputs`: a script keeps no names."""
    import torch

    positions = [source.outputs.index(spec) for spec in outputs]

    class InOrder(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.network = source.module

        def forward(self, *tensors: Any) -> Any:
            answer = flattened(self.network(*tensors))
            return tuple(answer[position] for position in positions)

    return InOrder().eval()


STEP = TorchToTorchscript()
