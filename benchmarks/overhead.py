"""What timing one call costs: our loop next to a bare pair of clock readings and to other tools' way of timing.

    python benchmarks/overhead.py [--rounds 1000] [--calls 500] [--seed 0] [--json]

All of them time the same call that does nothing, in one process. In every round each way times one block of calls, in
random order, so that all meet the same neighbours; the wall time of the whole block over its calls is the cost. Blocks
last less than a millisecond, so that on a busy machine most of them keep the processor to their end. Medians over
rounds with exact 95 % intervals; ratios are taken inside each round.

The claim: a call timed by `bench.measure.loop.time_calls` costs at most 1.5 times a bare `perf_counter_ns` pair around
the same call. Exit code 0 when the whole interval of the ratio lies below, 1 when not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.measure.loop import time_calls

LIMIT_RATIO = 1.5
CONFIDENCE = 0.95
OURS = "bench.measure.loop.time_calls"
BARE = "bare perf_counter_ns pair around the call"
EMPTY = "bare perf_counter_ns pair around nothing"
TIMEIT = "timeit.Timer(call).timeit(n)"


def nothing() -> None:
    """The call that all of them time."""


def bare_pair(calls: int) -> None:
    """The least that tells how long a call took; the latency is thrown away."""
    now_ns, call = time.perf_counter_ns, nothing
    for _ in itertools.repeat(None, calls):
        started_ns = now_ns()
        call()
        now_ns() - started_ns


def empty_pair(calls: int) -> None:
    """Two readings of the clock in a loop: the floor of any way that knows each call's latency."""
    now_ns = time.perf_counter_ns
    for _ in itertools.repeat(None, calls):
        now_ns()
        now_ns()


def ours(calls: int) -> None:
    """Our loop, with all that a block of it does: collector paused, latencies kept, outputs kept alive."""
    time_calls(nothing, calls)


def by_timeit(calls: int) -> None:
    """The standard library's: one pair of readings around the whole loop, so no latency of a call."""
    _TIMER.timeit(calls)


_TIMER = timeit.Timer(nothing)  # compiles its loop when it is made, which is no part of timing


def by_pyperf(calls: int) -> float:
    """The loop inside `Runner.bench_func` of pyperf 2.10, written down here because pyperf runs it in processes of its
    own: one pair of readings around all calls."""
    local_timer = time.perf_counter
    local_func = nothing
    range_it = range(calls)
    t0 = local_timer()
    for _ in range_it:
        local_func()
    return local_timer() - t0


class SessionTracker:
    """The shape of optimum-benchmark's `LatencySessionTracker` on a CPU: a generator-based context manager around each
    call that appends a start and an end; the differences are taken afterwards."""

    def __init__(self) -> None:
        self._starts_s: list[float] = []
        self._ends_s: list[float] = []

    @contextmanager
    def track(self) -> Iterator[None]:
        """Time the body."""
        start_s = time.perf_counter()
        yield
        end_s = time.perf_counter()
        self._starts_s.append(start_s)
        self._ends_s.append(end_s)

    def latencies_s(self) -> list[float]:
        """One latency per tracked body."""
        return [end_s - start_s for start_s, end_s in zip(self._starts_s, self._ends_s, strict=True)]


def by_optimum_benchmark(calls: int) -> list[float]:
    """Its loop: a tracker entered and left for every call."""
    tracker = SessionTracker()
    for _ in range(calls):
        with tracker.track():
            nothing()
    return tracker.latencies_s()


WAYS: Mapping[str, Callable[[int], object]] = {
    BARE: bare_pair,
    OURS: ours,
    "optimum-benchmark's track()": by_optimum_benchmark,
    TIMEIT: by_timeit,
    "pyperf's bench_func loop": by_pyperf,
    EMPTY: empty_pair,
}
#: Those that can say how long each single call took, and so give percentiles.
KNOWS_EACH_CALL = {BARE, OURS, "optimum-benchmark's track()"}


@dataclass(frozen=True, kw_only=True)
class Median:
    """A median with its exact interval."""

    value: float
    low: float
    high: float


def median_of(values: Sequence[float]) -> Median:
    """The median and its exact interval of 95 % between order statistics (binomial, no assumption on the shape)."""
    from scipy import stats

    found: Any = stats.quantile_test(values, q=0, p=0.5)  # its stub knows nothing of the interval's ends
    interval = found.confidence_interval(CONFIDENCE)
    return Median(value=float(np.median(values)), low=float(interval.low), high=float(interval.high))


def measure(rounds: int, calls: int, seed: int) -> dict[str, list[float]]:
    """Cost per timed call in ns of each way, one value a round; the order inside each round is random."""
    rng = random.Random(seed)
    costs_ns: dict[str, list[float]] = {name: [] for name in WAYS}
    for way in WAYS.values():
        way(calls)
    for _ in range(rounds):
        for name in rng.sample(list(WAYS), len(WAYS)):
            started_ns = time.perf_counter_ns()
            WAYS[name](calls)
            costs_ns[name].append((time.perf_counter_ns() - started_ns) / calls)
    return costs_ns


def ratio_of(numerator: Sequence[float], denominator: Sequence[float]) -> Median:
    """Median over rounds of the ratio inside each round."""
    return median_of([above / below for above, below in zip(numerator, denominator, strict=True)])


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table and the verdict on the claim."""
    parser = argparse.ArgumentParser(description="cost per timed call of our loop and of other tools'")
    parser.add_argument("--rounds", type=int, default=1000, help="blocks of each way (1000)")
    parser.add_argument("--calls", type=int, default=500, help="calls of a block (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the order inside the rounds (0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    chosen = parser.parse_args(words)
    costs_ns = measure(chosen.rounds, chosen.calls, chosen.seed)
    medians = {name: median_of(values) for name, values in costs_ns.items()}
    ratios = {name: ratio_of(values, costs_ns[BARE]) for name, values in costs_ns.items()}
    # What our loop adds to a call over the least that any way adds: the call itself is in timeit's number alone.
    added = [cost - call for cost, call in zip(costs_ns[OURS], costs_ns[TIMEIT], strict=True)]
    added_ratio = ratio_of(added, costs_ns[EMPTY])
    passed = ratios[OURS].high <= LIMIT_RATIO and added_ratio.high <= LIMIT_RATIO
    if chosen.json:
        ways = {name: {"ns": asdict(medians[name]), "ratio": asdict(ratios[name])} for name in WAYS}
        print(json.dumps({"ways": ways, "added_ratio": asdict(added_ratio), "passed": passed}, indent=2))
    else:
        print_table(medians, ratios, added_ratio, passed=passed)
    return 0 if passed else 1


def print_table(medians: Mapping[str, Median], ratios: Mapping[str, Median], added: Median, *, passed: bool) -> None:
    """One line a way, then the claim."""
    print(f"{'way of timing a call that does nothing':42}  {'ns per call':>23}  {'over the bare pair':>20}  each call?")
    for name, cost in medians.items():
        ratio = ratios[name]
        print(
            f"{name:42}  {cost.value:7.1f} [{cost.low:6.1f}–{cost.high:6.1f}]"
            f"  {ratio.value:5.2f}x [{ratio.low:.2f}–{ratio.high:.2f}]  {'yes' if name in KNOWS_EACH_CALL else 'no'}"
        )
    print(
        f"what our loop adds (its cost less timeit's {medians[TIMEIT].value:.0f} ns of the call itself), over the bare"
        f" pair around nothing: {added.value:.2f}x [{added.low:.2f}–{added.high:.2f}]"
    )
    print(f"{'PASS' if passed else 'FAIL'}: our loop costs at most {LIMIT_RATIO} times a bare perf_counter_ns pair")


if __name__ == "__main__":
    sys.exit(main())
