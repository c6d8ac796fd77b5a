"""A whole run: a frozen manifest, artifacts, groups one after the other, each record on disk before the next group."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec

from bench import records
from bench.artifacts import Store, default_root
from bench.core.cell import Cell, Group
from bench.core.errors import Interrupted, StoreError
from bench.core.results import Outcome, Record
from bench.environment import Environment, available_memory_bytes, effective_cpus, fingerprint
from bench.matrix import Matrix
from bench.measure.resolution import timer_cost
from bench.plan import Plan, make_plan
from bench.supervise import Supervisor, variables_we_set, worker_environment

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
class RunOptions:
    """How to run, as opposed to what: `store_root` None means the user's cache."""

    results_dir: Path
    resume: bool = True
    isolation: Literal["auto", "namespace", "group"] = "auto"
    command: tuple[str, ...] = ()
    store_root: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What a run left: all records of its directory, where this call's time went, and what stopped it, if anything."""

    run_dir: Path
    records: tuple[Record, ...]
    spent_s: dict[str, float]
    interrupted_by: int | None


def run(matrix: Matrix, options: RunOptions, watcher: Watcher) -> RunResult:
    """Measure what the matrix asks for and is not yet recorded; StoreError when results cannot be written."""
    timeline = Timeline()
    results_dir = _writable(options.results_dir)
    environment = fingerprint(_variables(results_dir))
    plan = make_plan(matrix.groups)
    with records.exclusive_writer(results_dir, matrix.name):
        directory = _directory(matrix, options, results_dir, environment, watcher)
        directory.remove_leftovers()
        with (
            records.Journal(directory.journal_path) as journal,
            Supervisor(directory.path, isolation=options.isolation) as supervisor,
        ):
            _tell_what_was_found(journal, supervisor, watcher, told_isolation=options.isolation != "auto")
            session = _Session(matrix, options, plan, directory, environment, journal, supervisor, timeline, watcher)
            interrupted_by = session.run()
    found, _ = directory.records()
    return RunResult(run_dir=directory.path, records=found, spent_s=timeline.spent_s(), interrupted_by=interrupted_by)


def _writable(results_dir: Path) -> Path:
    """The absolute path of the results directory, made if need be: said before anything is measured."""
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{results_dir}: cannot be made: {error.strerror}", hint="name a directory that you may write: --results"
        ) from error
    return results_dir.resolve()


def _variables(results_dir: Path) -> dict[str, str]:
    """The variables every worker gets from us, without what is random in each."""
    return dict(variables_we_set(worker_environment(os.environ, 1, fallback_home=results_dir / "home", seed=0)))


def _directory(
    matrix: Matrix, options: RunOptions, results_dir: Path, environment: Environment, watcher: Watcher
) -> records.RunDirectory:
    """The unfinished run of the same matrix in the same environment, or a new one."""
    if options.resume:
        unfinished = records.latest(results_dir, matrix.digest, environment.id)
        if unfinished is not None:
            missing = len(unfinished.missing_cells())
            watcher.note(f"resuming {unfinished.manifest.run_id}: {missing} of {len(list(matrix.cells))} cells left")
            return unfinished
    return records.create(
        results_dir,
        name=matrix.name,
        command=options.command,
        matrix_text=matrix.text,
        matrix_digest=matrix.digest,
        resolved_matrix=matrix.resolved,
        environment=msgspec.to_builtins(environment),
        environment_id=environment.id,
        planned_cell_ids=[cell.id for cell in matrix.cells],
        versions=tuple(asdict(environment.software)["packages"]),
    )


def _tell_what_was_found(
    journal: records.Journal, supervisor: Supervisor, watcher: Watcher, *, told_isolation: bool
) -> None:
    """What an earlier, killed run left, and what this host does not allow."""
    for damage in journal.damages:
        watcher.note(f"damaged, measured anew: {damage}")
    for name in supervisor.swept:
        watcher.note(f"ended what an earlier run had left running: {name}")
    if supervisor.isolation_reason and not told_isolation:
        watcher.note(f"isolation {supervisor.isolation}: {supervisor.isolation_reason}")


class _Session:
    """One call of `run` with everything it holds open."""

    def __init__(  # noqa: PLR0913, PLR0917  made in one place, from what `run` has opened
        self,
        matrix: Matrix,
        options: RunOptions,
        plan: Plan,
        directory: records.RunDirectory,
        environment: Environment,
        journal: records.Journal,
        supervisor: Supervisor,
        timeline: Timeline,
        watcher: Watcher,
    ) -> None:
        self._matrix = matrix
        self._plan = plan
        self._directory = directory
        self._journal = journal
        self._timeline = timeline
        self._watcher = watcher
        self._started_s = time.monotonic()
        measurement = matrix.measurement
        self._crew = Crew(
            supervisor,
            directory.path,
            width=effective_cpus(),
            deadline_s=measurement.phase_deadline_s,
            seed=measurement.seed,
        )
        self._workshop = Workshop(
            self._crew,
            Store(options.store_root or default_root()),
            directory.path,
            watcher,
            input_pool=measurement.input_pool,
            seed=measurement.seed,
        )
        self._scene = Scene(
            run_id=directory.manifest.run_id,
            environment_id=environment.id,
            measurement=measurement,
            effective_cpus=effective_cpus(),
            machine_cpus=os.cpu_count() or 1,
            timer_ns=timer_cost().reported_ns,
            isolation=supervisor.isolation,
            worker_environment=tuple(sorted(_variables(directory.path).items())),
        )

    def run(self) -> int | None:
        """Record every missing cell; returns the signal that stopped it, None when all is done."""
        missing = set(self._directory.missing_cells())
        groups = [group for group in self._plan.groups if missing & {cell.id for cell in group.cells}]
        current: Sequence[Cell] = ()
        reference_id = ""
        try:
            for group in groups:
                self._record_obstacles(group, missing)
            with self._timeline.spend("build"):
                prepared = self._workshop.prepare(
                    [(cell, group.reference) for group in groups for cell in self._wanted(group, missing)]
                )
            for position, group in enumerate(groups, start=1):
                current = [cell for cell in self._wanted(group, missing) if cell.id in missing]
                reference_id = group.reference_id
                self._watcher.group_started(group, position, len(groups))
                self._run_group(group, prepared, missing, position, len(groups))
        except Interrupted as interruption:
            self._cancel(current, reference_id, interruption)
            return interruption.signal_number
        return None

    def _wanted(self, group: Group, missing: set[str]) -> list[Cell]:
        """Cells of the group to measure now: those missing that can run, and their reference to pair them with."""
        obstacles = self._plan.obstacles
        return [
            cell
            for cell in group.cells
            if cell.id not in obstacles and (cell.id in missing or cell.id == group.reference_id)
        ]

    def _record_obstacles(self, group: Group, missing: set[str]) -> None:
        for cell in group.cells:
            obstacle = self._plan.obstacles.get(cell.id)
            if obstacle is not None and cell.id in missing:
                self._append(bare_record(self._scene, cell, group.reference_id, obstacle))

    def _run_group(
        self, group: Group, prepared: dict[str, Prepared | Outcome], missing: set[str], position: int, total: int
    ) -> None:
        ready: list[Prepared] = []
        for cell in self._wanted(group, missing):
            made = prepared[cell.id]
            if isinstance(made, Prepared):
                ready.append(made)
            elif cell.id in missing:
                self._append(bare_record(self._scene, cell, group.reference_id, made))
        measurement = self._matrix.measurement
        measurer = PartMeasurer(self._crew, self._directory.path, measurement, self._timeline)
        recorded: set[str] = set()
        for part in split(ready, group.reference_id, available_memory_bytes()) if ready else ():
            measured = measurer.measure(
                part,
                group.reference_id,
                self._budget(position, total),
                lambda number: self._watcher.progress(
                    f"{group.id} round {number + 1}", self._fraction(position, total, number)
                ),
            )
            self._record_part(group, measured, missing - recorded)
            recorded |= {run.prepared.cell.id for run in measured.runs}

    def _budget(self, position: int, total: int) -> Budget:
        """The group's share of the run's budget, and what the groups before it left over."""
        budget_s = self._matrix.measurement.budget_s
        ends_s = None if budget_s is None else self._started_s + budget_s * position / total
        return Budget(ends_s=ends_s, now_s=time.monotonic)

    def _fraction(self, position: int, total: int, number: int) -> float:
        rounds = self._matrix.measurement.rounds
        return (position - 1 + min(number + 1, rounds) / (rounds + 1)) / total

    def _record_part(self, group: Group, measured: MeasuredPart, missing: set[str]) -> None:
        reference = next((run for run in measured.runs if run.prepared.cell.id == group.reference_id), None)
        for run in measured.runs:
            if run.prepared.cell.id in missing:
                self._append(self._judged(group, run, reference, measured))

    def _judged(self, group: Group, run: CellRun, reference: CellRun | None, measured: MeasuredPart) -> Record:
        cell = run.prepared.cell
        tolerance = self._matrix.tolerances[cell.model.name, cell.variant.name]
        return measured_record(
            self._scene,
            run,
            group.reference_id,
            comparison=measured.comparisons.get(cell.id),
            checked=check(run, reference, tolerance),
            samples=records.write_samples(self._directory.path, cell.id, run.blocks) if run.blocks else None,
        )

    def _cancel(self, cells: Sequence[Cell], reference_id: str, interruption: Interrupted) -> None:
        """Write down that these were under way; they are measured anew when the run is resumed."""
        recorded = {record.cell_id for record in self._directory.records()[0]}
        outcome = Outcome(
            status="cancelled",
            reason=interruption.message,
            hint="run the same command again to resume",
            culprit="operator",
        )
        for cell in cells:
            if cell.id not in recorded:
                self._append(bare_record(self._scene, cell, reference_id, outcome))

    def _append(self, record: Record) -> None:
        self._journal.append(record)
        self._watcher.recorded(record)
