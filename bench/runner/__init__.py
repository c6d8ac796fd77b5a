"""The loop over groups: prepares, measures, judges, records; resumes what an earlier run left unfinished."""

from __future__ import annotations

from .behaviour import VariantChecks, check_behaviour
from .explaining import explain_cells
from .numerics import find_divergence
from .preparing import prepare
from .run import RunOptions, RunResult, run
from .watch import Silent, Watcher

__all__ = [
    "RunOptions",
    "RunResult",
    "Silent",
    "VariantChecks",
    "Watcher",
    "check_behaviour",
    "explain_cells",
    "find_divergence",
    "prepare",
    "run",
]
