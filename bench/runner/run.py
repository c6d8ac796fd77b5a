"""A whole run: a frozen manifest, artifacts, groups one after the other, each record on disk before the next group."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import records
from bench.artifacts import Store, default_root
from bench.core.canonical import digest
from bench.core.cell import ModelRef
from bench.core.errors import RefusedError, StoreError
from bench.core.files import sha256_tree
from bench.core.record import Record
from bench.environment import Environment, effective_cpus, fingerprint
from bench.formats.detect import split_callable
from bench.matrix import Matrix
from bench.measure.resolution import timer_cost
from bench.plan import make_plan
from bench.supervise import Supervisor

from . import selfcheck
from .crew import Crew, worker_variables
from .judging import Scene
from .session import Session
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
    results_dir = records.writable_directory(options.results_dir, "--results")
    environment = fingerprint(worker_variables(results_dir))
    with records.exclusive_writer(results_dir, matrix.name):
        directory = _directory(matrix, options, results_dir, environment, watcher)
        directory.remove_leftovers()
        with (
            records.Journal(directory.journal_path) as journal,
            Supervisor(directory.path, isolation=options.isolation) as supervisor,
        ):
            _tell_what_was_found(journal, supervisor, watcher, told_isolation=options.isolation != "auto")
            session = _session(matrix, options, directory, environment, journal, supervisor, timeline, watcher)
            interrupted_by = session.run()
    found, _ = directory.records()
    return RunResult(run_dir=directory.path, records=found, spent_s=timeline.spent_s(), interrupted_by=interrupted_by)


def _directory(
    matrix: Matrix, options: RunOptions, results_dir: Path, environment: Environment, watcher: Watcher
) -> records.RunDirectory:
    """The unfinished run of the same matrix over the same files in the same environment, or a new one."""
    asked = digest([matrix.digest, _files_asked_for(matrix)])
    if options.resume:
        unfinished = records.latest(results_dir, asked, environment.id)
        if unfinished is not None:
            missing = len(unfinished.missing_cells())
            watcher.note(f"resuming {unfinished.manifest.run_id}: {missing} of {len(list(matrix.cells))} cells left")
            return unfinished
    return records.create(
        results_dir,
        name=matrix.name,
        command=options.command,
        matrix_text=matrix.text,
        matrix_digest=asked,
        resolved_matrix=matrix.resolved,
        environment={**msgspec.to_builtins(environment), "selfcheck": _last_selfcheck(environment, watcher)},
        environment_id=environment.id,
        planned_cell_ids=[cell.id for cell in matrix.cells],
        versions=tuple(asdict(environment.software)["packages"]),
    )


def _files_asked_for(matrix: Matrix) -> list[tuple[str, str]]:
    """The user's own files with the hash of their content: a model that was exported anew is another model."""
    files = {Path(path) for model in {cell.model for cell in matrix.cells} for path in _files_of(model)}
    try:
        return sorted((str(path), sha256_tree(path.resolve())) for path in files)
    except ValueError as error:
        raise RefusedError(str(error), hint="put copies of the files there instead of links") from error


def _files_of(model: ModelRef) -> list[str]:
    callable_parts = split_callable(model.location)
    file = str(callable_parts[0]) if callable_parts else model.location
    return [path for path in (file if model.kind == "path" else "", model.inputs_path, model.examples_path) if path]


def _last_selfcheck(environment: Environment, watcher: Watcher) -> dict[str, Any] | None:
    """What `bench selfcheck` last found in this environment; a damaged file is told and costs nothing else."""
    try:
        return selfcheck.last(environment.id)
    except StoreError as error:
        watcher.note(f"{error.message} ({error.hint})")
        return None


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


def _session(
    matrix: Matrix,
    options: RunOptions,
    directory: records.RunDirectory,
    environment: Environment,
    journal: records.Journal,
    supervisor: Supervisor,
    timeline: Timeline,
    watcher: Watcher,
) -> Session:
    measurement = matrix.measurement
    cpus = effective_cpus()
    crew = Crew(supervisor, directory.path, width=cpus, deadline_s=measurement.phase_deadline_s, seed=measurement.seed)
    store = Store(options.store_root or default_root())
    return Session(
        matrix=matrix,
        plan=make_plan(matrix.groups),
        directory=directory,
        journal=journal,
        crew=crew,
        workshop=Workshop(
            crew, store, directory.path, watcher, input_pool=measurement.input_pool, seed=measurement.seed
        ),
        scene=Scene(
            run_id=directory.manifest.run_id,
            environment_id=environment.id,
            measurement=measurement,
            effective_cpus=cpus,
            machine_cpus=os.cpu_count() or 1,
            timer_ns=timer_cost().reported_ns,
            isolation=supervisor.isolation,
            worker_environments={
                threads: tuple(sorted(worker_variables(directory.path, threads).items()))
                for threads in {cell.limits.threads for cell in matrix.cells}
            },
        ),
        timeline=timeline,
        watcher=watcher,
        started_s=time.monotonic(),
    )
