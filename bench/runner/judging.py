"""From the raw rounds of a cell to its record: statistics, comparison, flags, costs and the status they add up to."""

from __future__ import annotations

import statistics as medians
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.core.cell import Cell, Measurement
from bench.core.record import Record
from bench.core.results import Comparison, Costs, Flag, InForce, Outcome, SamplesRef, Statistics
from bench.limits import limiter_label
from bench.measure.flags import Conditions, distinct_input_ratio, invalid_rule, judge, void
from bench.measure.statistics import summarise

from .checks import Checked
from .prepared import CellRun, label_of_now


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is the same for all cells of a run."""

    run_id: str
    environment_id: str
    measurement: Measurement
    effective_cpus: int
    machine_cpus: int
    timer_ns: float
    isolation: str
    worker_environments: Mapping[int, tuple[tuple[str, str], ...]]  # thread budget -> variables


def bare_record(scene: Scene, cell: Cell, reference_id: str, outcome: Outcome) -> Record:
    """The record of a cell of which nothing was measured."""
    return Record(
        run_id=scene.run_id,
        cell=cell,
        cell_id=cell.id,
        group_id=cell.group_id,
        reference_id=reference_id,
        outcome=outcome,
        started_at=label_of_now(),
        environment_id=scene.environment_id,
    )


def measured_record(
    scene: Scene,
    run: CellRun,
    reference_id: str,
    *,
    comparison: Comparison | None,
    checked: Checked,
    samples: SamplesRef | None,
    reference_samples: SamplesRef | None,
) -> Record:
    """The record of a cell that ran, however far it came."""
    cell = run.prepared.cell
    statistics = summarise(run.blocks, cell.batch) if run.blocks else None
    flags: tuple[Flag, ...] = ()
    if statistics is not None:
        flags = judge(run.blocks, statistics, _conditions(scene, run))
        statistics = void(statistics, flags)
    return Record(
        run_id=scene.run_id,
        cell=cell,
        cell_id=cell.id,
        group_id=cell.group_id,
        reference_id=reference_id,
        outcome=_outcome(run, checked, flags),
        started_at=run.started_at,
        source_sha256=run.prepared.source_sha256,
        inputs_sha256=run.prepared.pool.sha256,
        artifact=run.prepared.artifact,
        fidelity=checked.fidelity,
        accuracy=checked.accuracy,
        statistics=statistics,
        comparison=comparison,
        costs=_costs(run, statistics),
        in_force=_in_force(scene, run),
        flags=flags,
        samples=samples,
        reference_samples=reference_samples,
        environment_id=scene.environment_id,
    )


def _outcome(run: CellRun, checked: Checked, flags: tuple[Flag, ...]) -> Outcome:
    """The first thing that went wrong, in the order: it did not run, it computes something else, its time is void."""
    if run.outcome is not None:
        return run.outcome
    unlike = outcome_of_check(checked)
    if unlike is not None:
        return unlike
    rule = invalid_rule(flags)
    if rule is not None:
        return Outcome(status="invalid", reason=rule, culprit="measurement", phase="measure")
    return Outcome(status="ok")


def outcome_of_check(checked: Checked) -> Outcome | None:
    """Why a variant computes something else than its reference, or cannot be compared; None when it passed."""
    if checked.fidelity is None:
        return Outcome(
            status="invalid",
            reason="its outputs could not be checked: the reference gave none",
            hint="mend the reference, or name another variant under `reference:` in the matrix",
            culprit="target",
            phase="check",
        )
    if not checked.fidelity.passed:
        return Outcome(
            status="invalid",
            reason=f"outputs: {checked.fidelity.problem}",
            hint="look at the variant's steps; if the loss is acceptable, widen its tolerance in the matrix",
            culprit="target",
            phase="check",
        )
    return None


def _conditions(scene: Scene, run: CellRun) -> Conditions:
    cell = run.prepared.cell
    cpus = scene.effective_cpus if cell.limits.cpu_ids is None else len(cell.limits.cpu_ids)
    visits = [(each.first_visits_ns, each.blocks) for each in run.rounds if each.first_visits_ns and each.blocks]
    return Conditions(
        measurement=scene.measurement,
        threads=cell.limits.threads,
        effective_cpus=min(cpus, cell.limits.cpu_quota_cores or cpus),
        machine_cpus=scene.machine_cpus,
        cpu_quota_cores=cell.limits.cpu_quota_cores,
        batch=cell.batch,
        settled=all(result.settled for result in run.rounds),
        timer_ns=scene.timer_ns,
        distinct_input_ratio=distinct_input_ratio(visits) if visits else None,
        environment_ids=run.environment_ids,
    )


def _costs(run: CellRun, statistics: Statistics | None) -> Costs:
    opened = [result.opened for result in run.rounds if result.opened is not None]
    calls = sum(len(block.latencies_ns) for blocks in run.blocks for block in blocks)
    cpu_ns = sum(block.counters.cpu_ns for blocks in run.blocks for block in blocks)
    peak_bytes = _median(result.peak_memory_bytes for result in run.rounds)
    return Costs(
        import_s=_median(facts.import_s for facts in opened),
        load_s=_median(facts.load_s for facts in opened),
        first_call_ms=_median(facts.first_call_ms for facts in opened),
        compile_s=_median(facts.compile_s for facts in opened),
        warm_up_s=_median(result.warm_up_s for result in run.rounds),
        peak_memory_bytes=None if peak_bytes is None else round(peak_bytes),
        cpu_ms_per_call=cpu_ns / calls / 1e6 if calls and statistics is not None else None,
        artifact_size_bytes=run.prepared.artifact.size_bytes,
        build_s=sum(link.duration_s for link in run.prepared.artifact.lineage),
    )


def _in_force(scene: Scene, run: CellRun) -> InForce:
    limits = run.prepared.cell.limits
    opened = next((result.opened for result in run.rounds if result.opened is not None), None)
    last_blocks = [blocks[-1] for blocks in run.blocks]
    return InForce(
        cpu_ids=next((result.cpu_ids for result in run.rounds if result.cpu_ids), ()),
        threads_requested=limits.threads,
        threads_seen=max((block.counters.threads for block in last_blocks), default=0),
        memory_limit_bytes=limits.memory_limit_bytes,
        isolation=scene.isolation,
        limiter=limiter_label(limits),
        provider=opened.provider if opened else "",
        versions=tuple(sorted(opened.versions.items())) if opened else (),
        worker_environment=scene.worker_environments[limits.threads],
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return medians.median(known) if known else None
