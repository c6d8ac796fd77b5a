"""How small an effect this machine can show today, from pairs of equal processes, and what timing itself costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.block import Block

from .comparison import pair_log_ratio
from .loop import time_calls
from .statistics import CONFIDENCE, log_interval

#: Never claimed below this: even on a quiet machine two sessions of the same file differ by a quarter of a percent.
FINEST_RATIO = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """Smallest effects that `pairs` pairs can tell from none (0.011 is 1.1 %); None: a single pair cannot say."""

    pairs: int
    p25_ratio: float | None
    p50_ratio: float | None
    mean_ratio: float | None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if self.p25_ratio is None or self.mean_ratio is None:
            return "one pair of processes cannot say what this machine resolves"
        return f"this machine can resolve {self.p25_ratio:.1%} on p25, {self.mean_ratio:.1%} on the mean today"


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerCost:
    """What the loop itself costs per call: `reported_ns` is within every latency, `loop_ns` the wall time between."""

    reported_ns: float
    loop_ns: float


def resolution(pairs: Sequence[tuple[Sequence[Block], Sequence[Block]]]) -> Resolution:
    """What A/A pairs (two fresh processes of the same artifact, blocks in turn) show about this machine."""
    return Resolution(
        pairs=len(pairs),
        p25_ratio=resolvable_ratio([pair_log_ratio(*pair, percent=25) for pair in pairs]),
        p50_ratio=resolvable_ratio([pair_log_ratio(*pair, percent=50) for pair in pairs]),
        mean_ratio=resolvable_ratio([_mean_log_ratio(*pair) for pair in pairs]),
    )


def resolvable_ratio(log_ratios: Sequence[float]) -> float | None:
    """The effect whose interval would just exclude none: bias plus half width of the 95 % interval, at least 1 %."""
    bias, half_width = log_interval(log_ratios, CONFIDENCE)
    return None if half_width is None else max(FINEST_RATIO, math.expm1(abs(bias) + half_width))


def timer_cost(calls: int = 10_000, *, now_ns: Callable[[], int] = time.perf_counter_ns) -> TimerCost:
    """The cost of timing, from calls that do nothing."""

    def nothing() -> None:
        return None

    started_ns = now_ns()
    latencies_ns = time_calls(nothing, calls, now_ns=now_ns)
    loop_ns = (now_ns() - started_ns) / calls
    return TimerCost(reported_ns=float(np.median(latencies_ns)), loop_ns=loop_ns)


def _mean_log_ratio(reference: Sequence[Block], variant: Sequence[Block]) -> float:
    means = [
        np.log(np.mean(after.steady_ns) / np.mean(before.steady_ns))
        for before, after in zip(reference, variant, strict=True)
    ]
    return float(np.median(means))
