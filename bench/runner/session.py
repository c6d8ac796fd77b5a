"""One call of `run` at work: prepares all cells, then measures and records group after group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import records
from bench.core import plugins
from bench.core.cell import Cell, Group
from bench.core.errors import Interrupted, StoreError
from bench.core.record import Record
from bench.core.results import Outcome, SamplesRef
from bench.environment import available_memory_bytes, fingerprint
from bench.matrix import Matrix
from bench.plan import Plan

from .checks import check
from .crew import Crew, worker_variables
from .judging import Scene, bare_record, measured_record
from .measuring import Budget, MeasuredPart, PartMeasurer
from .parts import split
from .prepared import CellRun, Prepared
from .served_group import ServedGroup
from .served_judging import served_record
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
        obstacles = self.plan.obstacles
        groups = [group for group in self.plan.groups if missing & {cell.id for cell in group.cells}]
        to_measure = [group for group in groups if any(c.id in missing and c.id not in obstacles for c in group.cells)]
        current: Sequence[Cell] = ()
        reference_id = ""
        try:
            for group in groups:
                self._record_obstacles(group, missing)
            with self.timeline.spend("build"):
                prepared = self.workshop.prepare(
                    [(cell, group.reference) for group in to_measure for cell in self._wanted(group, missing)]
                )
            self._require_same_sources(prepared)
            for position, group in enumerate(to_measure, start=1):
                current = [cell for cell in self._wanted(group, missing) if cell.id in missing]
                reference_id = group.reference_id
                self.watcher.group_started(group, position, len(to_measure))
                self._run_group(group, prepared, missing, position, len(to_measure))
        except Interrupted as interruption:
            self._cancel(current, reference_id, interruption)
            return interruption.signal_number
        return None

    def _require_same_sources(self, prepared: Mapping[str, Prepared | Outcome]) -> None:
        """A resumed run must not mix two models: files beside a model's own are known only once it has been read."""
        recorded, _ = self.directory.records()
        before = {
            (each.cell.model, each.cell.variant.source): each.source_sha256 for each in recorded if each.source_sha256
        }
        for made in prepared.values():
            if not isinstance(made, Prepared):
                continue
            cell = made.cell
            if before.get((cell.model, cell.variant.source), made.source_sha256) != made.source_sha256:
                raise StoreError(
                    f"{cell.model.name}: the model has changed since this run began, in a file beside its own",
                    hint="start anew: --new",
                )

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
        if _is_served(group):
            self._run_served(group, ready, missing, position, total)
            return
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

    def _run_served(
        self, group: Group, ready: Sequence[Prepared], missing: set[str], position: int, total: int
    ) -> None:
        """Cells behind a server, each recorded as soon as it is measured."""
        before_id = self.scene.environment_id
        reference: CellRun | None = None
        measurer = ServedGroup(self.crew, self.directory.path, self.matrix, self.timeline)

        def tell(what: str) -> None:
            self.watcher.progress(f"{group.id} {what}", (position - 1) / total)

        for run in measurer.measure(ready, group.reference_id, missing, tell):
            cell = run.in_process.prepared.cell
            if cell.id == group.reference_id:
                reference = run.in_process
            if cell.id not in missing:
                continue
            run.in_process.environment_ids = (before_id, fingerprint(worker_variables(self.directory.path)).id)
            tolerance = self.matrix.tolerances[cell.model.name, cell.variant.name]
            self._append(served_record(self.scene, run, reference, group.reference_id, tolerance))

    def _budget(self, position: int, total: int) -> Budget:
        """The group's share of the run's budget, and what the groups before it left over."""
        budget_s = self.matrix.measurement.budget_s
        ends_s = None if budget_s is None else self.started_s + budget_s * position / total
        return Budget(ends_s=ends_s, now_s=time.monotonic)

    def _fraction(self, position: int, total: int, number: int) -> float:
        rounds = self.matrix.measurement.rounds
        return (position - 1 + min(number + 1, rounds) / (rounds + 1)) / total

    def _record_part(self, group: Group, measured: MeasuredPart, missing: set[str]) -> None:
        """Records of the part's missing cells.

        Where the reference runs along only to be compared with, since it is recorded already, its samples are kept
        for the comparisons made here: every ratio can be computed again from what is on disk.
        """
        reference = next((run for run in measured.runs if run.prepared.cell.id == group.reference_id), None)
        wanted = [run for run in measured.runs if run.prepared.cell.id in missing]
        environment_ids = (self.scene.environment_id, fingerprint(worker_variables(self.directory.path)).id)
        for run in wanted:
            run.environment_ids = environment_ids
        runs_along = reference is not None and reference not in wanted
        beside = self._samples(reference, f"{group.reference_id}.beside") if runs_along and wanted else None
        for run in wanted:
            self._append(self._judged(group, run, reference, measured, beside))

    def _samples(self, run: CellRun | None, name: str) -> SamplesRef | None:
        return records.write_samples(self.directory.path, name, run.blocks) if run is not None and run.blocks else None

    def _judged(
        self,
        group: Group,
        run: CellRun,
        reference: CellRun | None,
        measured: MeasuredPart,
        reference_samples: SamplesRef | None,
    ) -> Record:
        cell = run.prepared.cell
        tolerance = self.matrix.tolerances[cell.model.name, cell.variant.name]
        comparison = measured.comparisons.get(cell.id)
        return measured_record(
            self.scene,
            run,
            group.reference_id,
            comparison=comparison,
            checked=check(run, reference, tolerance),
            samples=self._samples(run, cell.id),
            reference_samples=reference_samples if comparison is not None else None,
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


def _is_served(group: Group) -> bool:
    return not plugins.load("topologies", group.reference.topology)().is_in_process
