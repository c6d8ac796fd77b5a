"""Write a torch module as an exported program (.pt2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.exported_program import export
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import load_source, run_module

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "torch_to_exported_program"
_HINT = "the network's Python may depend on values, which torch.export cannot follow; the log holds torch's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchToExportedProgramOptions:
    """There is nothing to choose."""


class TorchToExportedProgram:
    """`torch.export.export` with every named dimension dynamic."""

    Options = TorchToExportedProgramOptions

    def blockers(self, source_format: str, options: TorchToExportedProgramOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self,
        source: Artifact,
        options: TorchToExportedProgramOptions,
        out_dir: Path,
        examples: Examples | None,
    ) -> StepResult:
        """Write `model.pt2`, called like the module: inputs by position, the answer of the same structure."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    import torch

    torch_source = load_source(source, examples)
    program = export(torch_source.module, torch_source)
    path = out_dir / "model.pt2"
    torch.export.save(program, path)

    loaded = torch.export.load(path)
    module = loaded.module()
    for batch in check_batches(source.inputs, examples):
        expected = run_module(torch_source.module, batch, source.inputs, torch_source.outputs)
        require_sound(_NAME, expected, run_module(module, batch, source.inputs, torch_source.outputs))
    changes = (
        Change(what="bytes", before=source.size_bytes, after=path.stat().st_size),
        Change(what="tensors", before=len(torch_source.module.state_dict()), after=len(loaded.state_dict)),
    )
    return StepResult(
        format="exported_program", path=path, inputs=source.inputs, outputs=source.outputs, changes=changes
    )


STEP = TorchToExportedProgram()
