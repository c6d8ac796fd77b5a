"""Why one cell is slower than another: both profiled in passes of their own, and timed where no run has done so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import quantiles

from bench.core import plugins
from bench.core.cell import Cell, Measurement
from bench.core.errors import TargetError
from bench.core.processor import cpu_flags
from bench.core.profiling import OpProfile
from bench.environment import fingerprint
from bench.explain.speed import Explanation, Subject, explain
from bench.explain.speed_words import speed_words
from bench.matrix import Matrix
from bench.plan import make_plan

from .backstage import Backstage, backstage
from .crew import worker_variables
from .numerics import as_error, require
from .prepared import Prepared
from .profiling import profile, profilers_of
from .rounds import Round
from .timeline import Timeline
from .watch import Watcher

_TIMED_NOW = "taking turns, now"
_MAX_ROUNDS = 3
_SUSPECT_RATIO = 1.25
#: Enough to see a gap worth explaining; a verdict takes a run.
_ROUND = {"blocks": 6, "block_min_s": 0.05, "block_max_s": 1.0, "warm_up_min_s": 0.3, "warm_up_max_s": 5.0}


def explain_cells(
    matrix: Matrix,
    a: Cell,
    b: Cell,
    watcher: Watcher,
    *,
    timed_ms: Mapping[str, float] | None = None,
    timed_by: str = "",
    store_root: Path | None = None,
) -> Explanation:
    """Why `b` is slower or faster than `a`, two cells of one model under equal conditions.

    `timed_ms` holds the wall times of a recorded run by cell id, and `timed_by` its name; without them both are timed
    here, taking turns, and `timed_by` says why. TargetError when a cell cannot be run, or no profiler knows its
    runtime.
    """
    obstacles = make_plan(matrix.groups).obstacles
    for cell in (a, b):
        if cell.id in obstacles:
            raise as_error(cell, obstacles[cell.id])
        _op_profilers(cell)
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="explain") as stage:
        made = stage.workshop.prepare([(a, a), (b, a)])
        prepared = [require(cell, made[cell.id]) for cell in (a, b)]
        profiles = {each.cell.id: _ops(stage, each, watcher) for each in prepared}
        if timed_ms is None:
            watcher.note(f"timing {a.variant.name} and {b.variant.name}, taking turns")
            timed_ms = _timed(stage, prepared, profiles, matrix.measurement)
            timed_by = ", ".join(filter(None, (_TIMED_NOW, timed_by)))
        for each in prepared:  # what else the machine does can slow a profile far more than profiling
            if profiles[each.cell.id].wall_ns_per_run / 1e6 > _SUSPECT_RATIO * timed_ms[each.cell.id]:
                again = _ops(stage, each, watcher)
                profiles[each.cell.id] = min(again, profiles[each.cell.id], key=lambda ops: ops.wall_ns_per_run)
        subjects = [_subject(each.cell, timed_ms[each.cell.id], profiles[each.cell.id]) for each in prepared]
    found = explain(a.model.name, *subjects, cpu_flags=cpu_flags(), timed_by=timed_by)
    return replace(found, words=speed_words(found))


def environment_id(results_dir: Path) -> str:
    """What a run that keeps its results there would record as its environment now."""
    return fingerprint(worker_variables(results_dir.resolve())).id


def _op_profilers(cell: Cell) -> tuple[str, ...]:
    """The profilers that know the operators of a cell's runtime."""
    adapter = cell.variant.adapter
    names = tuple(name for name in profilers_of(adapter) if plugins.lookup("profilers", name).accepts)
    if not names:
        raise TargetError(
            f"{cell.model.name}.{cell.variant.name}: no profiler knows the operators of {adapter}",
            hint="bench list profilers",
        )
    return names


def _timed(
    stage: Backstage, prepared: Sequence[Prepared], profiles: Mapping[str, OpProfile], measurement: Measurement
) -> dict[str, float]:
    """The time of a call of each cell in ms: the lower quartile of rounds in which they take turns.

    A timed call that takes longer than a profiled one was disturbed: then there is another round.
    """
    short = replace(measurement, **_ROUND)  # type: ignore[arg-type]  # of the fields' own types
    samples_ns: dict[str, list[int]] = {each.cell.id: [] for each in prepared}
    timed_ms: dict[str, float] = {}
    for index in range(_MAX_ROUNDS):
        this_round = Round(stage.crew, stage.directory, short, Timeline(), index=index, check=False)
        for each, result in zip(prepared, this_round.run(prepared, lambda: None), strict=True):
            if result.outcome is not None:
                raise as_error(each.cell, result.outcome)
            samples_ns[each.cell.id] += [ns for block in result.blocks for ns in block.steady_ns]
        stage.crew.await_released()
        timed_ms = {name: quantiles(times_ns, n=4)[0] / 1e6 for name, times_ns in samples_ns.items()}
        if all(profiles[name].wall_ns_per_run / 1e6 > ms for name, ms in timed_ms.items()):
            break
    return timed_ms


def _subject(cell: Cell, wall_ms: float, profile: OpProfile) -> Subject:
    return Subject(
        variant=cell.variant.name,
        cell_id=cell.id,
        wall_ms=wall_ms,
        profile=profile,
        steps=cell.variant.steps,
        threads=cell.limits.threads,
    )


def _ops(stage: Backstage, prepared: Prepared, watcher: Watcher) -> OpProfile:
    cell = prepared.cell
    watcher.note(f"profiling {cell.variant.name}")
    looked = profile(stage.crew, prepared, stage.directory / "profiles" / cell.id, profilers=_op_profilers(cell))
    if looked.ops is not None:
        return looked.ops
    failure = next(iter(looked.failures.values()), None)
    if failure is not None:
        raise as_error(cell, failure)
    raise TargetError(f"{cell.model.name}.{cell.variant.name}: its profilers saw no operators", hint="bench profile")
