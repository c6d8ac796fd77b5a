"""What optimizers of torch modules share: their result is an exported program, for a zoo factory cannot express it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.exported_program import export, load_exported, operator_counts
from bench.formats.steps import count_changes
from bench.formats.torch_source import TorchSource, run_module

if TYPE_CHECKING:
    from collections import Counter

    from bench.core.contracts import Examples


def write_program(
    step: str,
    source: Artifact,
    torch_source: TorchSource,
    module: Any,
    before: Counter[str],
    out_dir: Path,
    examples: Examples | None,
    notes: tuple[str, ...] = (),
) -> StepResult:
    """Export the changed `module` to `model.pt2`, load it again and check it beside its source.

    `before` are the operators of the source's exported program.
    """
    import torch

    path = out_dir / "model.pt2"
    torch.export.save(export(module, torch_source), path)
    loaded = load_exported(path)
    made = loaded.module()
    batches = check_batches(source.inputs, examples)
    for batch, expected in zip(batches, torch_source.answers(batches, source.inputs), strict=True):
        require_sound(step, expected, run_module(made, batch, source.inputs, torch_source.outputs))
    return StepResult(
        format="exported_program",
        path=path,
        inputs=source.inputs,
        outputs=source.outputs,
        changes=count_changes(before, operator_counts(loaded), source.size_bytes, path.stat().st_size),
        notes=notes,
    )
