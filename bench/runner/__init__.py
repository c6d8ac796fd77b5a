"""The loop over groups: prepares, measures, judges, records; resumes what an earlier run left unfinished."""

from __future__ import annotations

from .behaviour import VariantChecks, check_behaviour, require_cases, require_variants
from .explaining import environment_id, explain_cells
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
    "environment_id",
    "explain_cells",
    "find_divergence",
    "prepare",
    "require_cases",
    "require_variants",
    "run",
]
