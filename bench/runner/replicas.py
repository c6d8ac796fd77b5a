"""How to share out a fixed number of processors: every way is deployed and searched, the best is named first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.artifact import Options
from bench.core.cell import Cell
from bench.core.errors import MatrixError, TargetError
from bench.core.results import Outcome
from bench.core.served import LoadPoint
from bench.environment import affinity
from bench.matrix import Matrix
from bench.measure.search.replicas import MeasuredPlan, ReplicaPlan, plan_replicas, rank_replicas

from .backstage import Backstage, backstage
from .numerics import require
from .prepared import Prepared
from .searching import Effort, Objective, Searched, search_prepared
from .serve_up import require_possible
from .watch import Watcher

TOPOLOGY = "multiprocess"
_BATCH = 8  # samples that a call may take where requests wait for each other
#: A front gives each request to a worker that is idle; connections that the kernel shares out load workers unevenly.
_BALANCE = ("balance", "shared_memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A way to share out processors and its cell, in the matrix that says how this is made."""

    plan: ReplicaPlan
    matrix: Matrix
    cell: Cell
    reference: Cell


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A way that was tried: what was found, or why nothing was."""

    plan: ReplicaPlan
    searched: Searched | None = None
    problem: str = ""

    @property
    def rate_per_s(self) -> float | None:
        """The confirmed rate, None where none was, or the server's counts speak against it."""
        if self.searched is None or not self.searched.is_confirmed:
            return None
        return self.searched.result.confirmed_per_s

    @property
    def point(self) -> LoadPoint | None:
        """The load that confirmed the rate, else the last one: its costs are this way's."""
        if self.searched is None or not self.searched.points:
            return None
        return self.searched.served.headline or self.searched.points[-1]


def replica_plans(cpus: int | None, delays_ms: Sequence[float]) -> tuple[ReplicaPlan, ...]:
    """Every way to use so many processors, all that there are by default; MatrixError when there are fewer."""
    there = len(affinity())
    if cpus is not None and cpus > there:
        raise MatrixError(f"--cpus {cpus}: there are {there} processors to use here", hint="name fewer")
    return plan_replicas(cpus or there, tuple(sorted(set(delays_ms))) or (0.0,))


def topology_options(plan: ReplicaPlan, given: Options) -> Options:
    """What makes the topology this way; `given` goes before what is only usual."""
    chosen = dict([_BALANCE, *given])
    chosen["workers"] = plan.workers
    if plan.batching_delay_ms:
        chosen = {"max_batch": _BATCH, **chosen, "batch_delay_ms": plan.batching_delay_ms}
    return tuple(sorted(chosen.items()))


def try_replicas(
    candidates: Sequence[Candidate],
    objective: Objective,
    effort: Effort,
    watcher: Watcher,
    *,
    store_root: Path | None = None,
) -> tuple[Tried, ...]:
    """All candidates, best first; those without a confirmed rate come last. The budget is shared equally.

    TargetError when the variant cannot be built. Ways that wait for a batch are left out where the model takes none.
    """
    first = candidates[0]
    require_possible(first.matrix, first.cell)
    with backstage(first.matrix.measurement, watcher, store_root=store_root, purpose="search") as stage:
        made = stage.workshop.prepare([(each.cell, each.reference) for each in candidates])
        if not takes_any_batch(require(first.cell, made[first.cell.id])):
            watcher.note("the model's first axis is fixed: requests cannot be put together, so no delay is tried")
            candidates = [each for each in candidates if not each.plan.batching_delay_ms]
        budget_s = None if effort.budget_s is None else effort.budget_s / len(candidates)
        share = replace(effort, budget_s=budget_s)
        tried = [_try(stage, each, made[each.cell.id], objective, share, watcher) for each in candidates]
    return ranked(tried)


def _try(
    stage: Backstage,
    candidate: Candidate,
    made: Prepared | Outcome,
    objective: Objective,
    effort: Effort,
    watcher: Watcher,
) -> Tried:
    plan = candidate.plan
    watcher.note(f"workers: {plan.workers}, threads in each: {plan.threads}, delay: {plan.batching_delay_ms:g} ms")
    try:
        prepared = require(candidate.cell, made)
        found = search_prepared(stage, candidate.matrix, prepared, objective, effort, watcher)
    except TargetError as error:
        return Tried(plan=plan, problem=error.message)
    return Tried(plan=plan, searched=found)


def takes_any_batch(prepared: Prepared) -> bool:
    """Whether requests can be put together: the first axis of every input has a name, and so may have any size."""
    return all(spec.shape and isinstance(spec.shape[0], str) for spec in prepared.artifact.inputs)


def ranked(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """Best first, by `bench.measure.search.replicas`."""
    by_plan = {each.plan: each for each in tried}
    measured = [
        MeasuredPlan(plan=each.plan, rate_per_s=each.rate_per_s, memory_bytes=_memory_bytes(each)) for each in tried
    ]
    return tuple(by_plan[each.plan] for each in rank_replicas(measured))


def _memory_bytes(tried: Tried) -> int | None:
    return None if tried.searched is None else tried.searched.served.server_memory_bytes
