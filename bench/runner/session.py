"""One call of `run` at work: prepares all cells, then measures and records group after group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import records
from bench.core.cell import Cell, Group
from bench.core.errors import Interrupted
from bench.core.results import Outcome, Record
from bench.environment import available_memory_bytes
from bench.matrix import Matrix
from bench.plan import Plan

from .checks import check
from .crew import Crew
from .judging import Scene, bare_record, measured_record
from .measuring import Budget, MeasuredPart, PartMeasurer
from .parts import split
from .prepared import CellRun, Prepared
from .timeline import Timeline
from .watch import Watcher
from .workshop import Workshop


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What `run` has opened, and the loop over groups on it; `started_s` is when the run's budget began."""

    matrix: Matrix
    plan: Plan
    directory: records.RunDirectory
    journal: records.Journal
    crew: Crew
    workshop: Workshop
    scene: Scene
    timeline: Timeline
    watcher: Watcher
    started_s: float

    def run(self) -> int | None:
        """Record every missing cell; returns the signal that stopped it, None when all is done."""
        missing = set(self.directory.missing_cells())
        groups = [group for group in self.plan.groups if missing & {cell.id for cell in group.cells}]
        current: Sequence[Cell] = ()
        reference_id = ""
        try:
            for group in groups:
                self._record_obstacles(group, missing)
            with self.timeline.spend("build"):
                prepared = self.workshop.prepare(
                    [(cell, group.reference) for group in groups for cell in self._wanted(group, missing)]
                )
            for position, group in enumerate(groups, start=1):
                current = [cell for cell in self._wanted(group, missing) if cell.id in missing]
                reference_id = group.reference_id
                self.watcher.group_started(group, position, len(groups))
                self._run_group(group, prepared, missing, position, len(groups))
        except Interrupted as interruption:
            self._cancel(current, reference_id, interruption)
            return interruption.signal_number
        return None

    def _wanted(self, group: Group, missing: set[str]) -> list[Cell]:
        """Cells of the group to measure now: those missing that can run, and their reference to pair them with."""
        obstacles = self.plan.obstacles
        return [
            cell
            for cell in group.cells
            if cell.id not in obstacles and (cell.id in missing or cell.id == group.reference_id)
        ]

    def _record_obstacles(self, group: Group, missing: set[str]) -> None:
        for cell in group.cells:
            obstacle = self.plan.obstacles.get(cell.id)
            if obstacle is not None and cell.id in missing:
                self._append(bare_record(self.scene, cell, group.reference_id, obstacle))

    def _run_group(
        self, group: Group, prepared: dict[str, Prepared | Outcome], missing: set[str], position: int, total: int
    ) -> None:
        ready: list[Prepared] = []
        for cell in self._wanted(group, missing):
            made = prepared[cell.id]
            if isinstance(made, Prepared):
                ready.append(made)
            elif cell.id in missing:
                self._append(bare_record(self.scene, cell, group.reference_id, made))
        measurement = self.matrix.measurement
        measurer = PartMeasurer(self.crew, self.directory.path, measurement, self.timeline)
        recorded: set[str] = set()
        for part in split(ready, group.reference_id, available_memory_bytes()) if ready else ():
            measured = measurer.measure(
                part,
                group.reference_id,
                self._budget(position, total),
                lambda number: self.watcher.progress(
                    f"{group.id} round {number + 1}", self._fraction(position, total, number)
                ),
            )
            self._record_part(group, measured, missing - recorded)
            recorded |= {run.prepared.cell.id for run in measured.runs}

    def _budget(self, position: int, total: int) -> Budget:
        """The group's share of the run's budget, and what the groups before it left over."""
        budget_s = self.matrix.measurement.budget_s
        ends_s = None if budget_s is None else self.started_s + budget_s * position / total
        return Budget(ends_s=ends_s, now_s=time.monotonic)

    def _fraction(self, position: int, total: int, number: int) -> float:
        rounds = self.matrix.measurement.rounds
        return (position - 1 + min(number + 1, rounds) / (rounds + 1)) / total

    def _record_part(self, group: Group, measured: MeasuredPart, missing: set[str]) -> None:
        reference = next((run for run in measured.runs if run.prepared.cell.id == group.reference_id), None)
        for run in measured.runs:
            if run.prepared.cell.id in missing:
                self._append(self._judged(group, run, reference, measured))

    def _judged(self, group: Group, run: CellRun, reference: CellRun | None, measured: MeasuredPart) -> Record:
        cell = run.prepared.cell
        tolerance = self.matrix.tolerances[cell.model.name, cell.variant.name]
        return measured_record(
            self.scene,
            run,
            group.reference_id,
            comparison=measured.comparisons.get(cell.id),
            checked=check(run, reference, tolerance),
            samples=records.write_samples(self.directory.path, cell.id, run.blocks) if run.blocks else None,
        )

    def _cancel(self, cells: Sequence[Cell], reference_id: str, interruption: Interrupted) -> None:
        """Write down that these were under way; they are measured anew when the run is resumed."""
        recorded = {record.cell_id for record in self.directory.records()[0]}
        outcome = Outcome(
            status="cancelled",
            reason=interruption.message,
            hint="run the same command again to resume",
            culprit="operator",
        )
        for cell in cells:
            if cell.id not in recorded:
                self._append(bare_record(self.scene, cell, reference_id, outcome))

    def _append(self, record: Record) -> None:
        self.journal.append(record)
        self.watcher.recorded(record)
