"""Fold batch norms into the convolutions before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.exported_program import export, operator_counts
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.torch_source import load_source

from .torch_programs import write_program

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "fuse_batch_norm"
_HINT = "torch.fx follows networks whose Python does not depend on values; the log holds torch's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class FuseBatchNormOptions:
    """There is nothing to choose."""


class FuseBatchNorm:
    """`torch.fx.experimental.optimization.fuse`."""

    Options = FuseBatchNormOptions

    def blockers(self, source_format: str, options: FuseBatchNormOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: FuseBatchNormOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.pt2` with fewer batch norms; StepFailed when none follows a convolution."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _fuse(source, out_dir, examples)


def _fuse(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    from torch.fx.experimental.optimization import fuse

    torch_source = load_source(source, examples)
    fused = fuse(torch_source.module)
    if _batch_norms(fused) == _batch_norms(torch_source.module):
        raise StepFailed(
            f"{_NAME}: {source.path} has no batch norm that follows a convolution", hint="leave the variant out"
        )
    before = operator_counts(export(torch_source.module, torch_source))
    return write_program(_NAME, source, torch_source, fused, before, out_dir, examples)


def _batch_norms(module: Any) -> int:
    return sum("BatchNorm" in type(layer).__name__ for layer in module.modules())


STEP = FuseBatchNorm()
