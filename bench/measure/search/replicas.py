"""How to share out processors between copies of a model and threads in each, and which of the measured ways is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Rates that differ by less cannot be told apart by a search that steps back by 2 to 3 %.
_EQUAL_RATIO = 0.03


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaPlan:
    """`workers` processes with `threads` each, which wait `batching_delay_ms` for others to join; 0 does not wait."""

    workers: int
    threads: int
    batching_delay_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPlan:
    """`rate_per_s` is the confirmed rate within the objective, None where none was; memory is summed PSS."""

    plan: ReplicaPlan
    rate_per_s: float | None
    memory_bytes: int | None = None


def plan_replicas(
    cores: int, batching_delays_ms: Sequence[float] = (0.0,), max_workers: int | None = None
) -> tuple[ReplicaPlan, ...]:
    """Every way to use `cores` that leaves fewer idle than another worker or thread would need, fewest workers first.

    Delays vary fastest. ValueError: no core, or a delay below 0.
    """
    if cores < 1 or min(batching_delays_ms, default=-1.0) < 0:
        raise ValueError("a replica plan needs a core or more, and batching delays of 0 ms or more")
    most = cores if max_workers is None else min(cores, max_workers)
    # With more workers of as many threads, fewer workers with as many threads are never a better use.
    workers_by_threads = {cores // workers: workers for workers in range(1, most + 1)}
    shapes = sorted((workers, threads) for threads, workers in workers_by_threads.items())
    return tuple(
        ReplicaPlan(workers=workers, threads=threads, batching_delay_ms=delay)
        for workers, threads in shapes
        for delay in batching_delays_ms
    )


def rank_replicas(measured: Sequence[MeasuredPlan]) -> tuple[MeasuredPlan, ...]:
    """Best first: the highest rate within the objective; of those within 3 % of it, the least memory, then the next.

    Plans without a rate come last, in the order given.
    """
    rated = sorted((plan for plan in measured if plan.rate_per_s is not None), key=_rate, reverse=True)
    ranked: list[MeasuredPlan] = []
    while rated:
        equals = [plan for plan in rated if _rate(plan) >= _rate(rated[0]) * (1 - _EQUAL_RATIO)]
        ranked += sorted(equals, key=_memory)
        rated = rated[len(equals) :]
    return (*ranked, *(plan for plan in measured if plan.rate_per_s is None))


def _rate(plan: MeasuredPlan) -> float:
    return plan.rate_per_s or 0.0


def _memory(plan: MeasuredPlan) -> float:
    return float("inf") if plan.memory_bytes is None else plan.memory_bytes
