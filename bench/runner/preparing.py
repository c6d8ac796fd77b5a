"""Everything a matrix needs, made ahead of its run: models built and converted, inputs tried; nothing is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.artifacts import Store, default_root
from bench.core.results import Outcome
from bench.environment import effective_cpus
from bench.matrix import Matrix
from bench.plan import make_plan
from bench.supervise import Supervisor

from .crew import Crew
from .watch import Watcher
from .workshop import Workshop

_SUBDIRECTORIES = ("jobs", "logs", "inputs")


def prepare(matrix: Matrix, watcher: Watcher, *, store_root: Path | None = None) -> dict[str, Outcome]:
    """Fill the artifact store with what the matrix needs; cell id -> why a cell cannot be measured, for those."""
    plan = make_plan(matrix.groups)
    measurement = matrix.measurement
    with tempfile.TemporaryDirectory(prefix="deploybench-prepare-") as name:
        directory = Path(name)
        for subdirectory in _SUBDIRECTORIES:
            (directory / subdirectory).mkdir()
        with Supervisor(directory) as supervisor:
            crew = Crew(
                supervisor,
                directory,
                width=effective_cpus(),
                deadline_s=measurement.phase_deadline_s,
                seed=measurement.seed,
            )
            workshop = Workshop(
                crew,
                Store(store_root or default_root()),
                directory,
                watcher,
                input_pool=measurement.input_pool,
                seed=measurement.seed,
            )
            runnable = [
                (cell, group.reference)
                for group in plan.groups
                for cell in group.cells
                if cell.id not in plan.obstacles
            ]
            made = workshop.prepare(runnable)
    failed = {cell_id: outcome for cell_id, outcome in made.items() if isinstance(outcome, Outcome)}
    return {**plan.obstacles, **failed}
