"""Everything a matrix needs, made ahead of its run: models built and converted, inputs tried; nothing is measured."""

from __future__ import annotations

from pathlib import Path

from bench.core.results import Outcome
from bench.matrix import Matrix
from bench.plan import make_plan

from .backstage import backstage
from .watch import Watcher


def prepare(matrix: Matrix, watcher: Watcher, *, store_root: Path | None = None) -> dict[str, Outcome]:
    """Fill the artifact store with what the matrix needs; cell id -> why a cell cannot be measured, for those."""
    plan = make_plan(matrix.groups)
    runnable = [
        (cell, group.reference) for group in plan.groups for cell in group.cells if cell.id not in plan.obstacles
    ]
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="prepare") as stage:
        made = stage.workshop.prepare(runnable)
    failed = {cell_id: outcome for cell_id, outcome in made.items() if isinstance(outcome, Outcome)}
    return {**plan.obstacles, **failed}
