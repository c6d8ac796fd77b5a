"""Statistics of one cell from its blocks, each with an interval, or without a number and with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.block import Block
from bench.core.results import Estimate, Interval, Statistics

from .warm_up import steady_rounds

CONFIDENCE = 0.95

Floats = NDArray[np.float64]


def summarise(rounds: Sequence[Sequence[Block]], batch: int) -> Statistics:
    """Latency of one call of the whole batch, and throughput in items per second, from the steady blocks.

    p25, p50, mean and throughput describe a typical process: the geometric mean of the rounds' values, with a Student
    t interval over rounds. p90, p95 and p99 and the minimum are those of all calls together; a percentile has a value
    only where the calls allow an interval. ValueError: there is no steady call.
    """
    kind, rounds = steady_rounds(rounds)
    if not rounds:
        raise ValueError("no steady call to summarise")
    calls_ns = [[np.asarray(block.steady_ns, dtype=np.float64) for block in blocks] for blocks in rounds]
    pooled_ns = np.concatenate([block for blocks in calls_ns for block in blocks])

    def typical(statistic: Callable[[Floats], np.floating]) -> Estimate:
        return over_rounds([max(1.0, float(statistic(np.concatenate(blocks)))) / 1e6 for blocks in calls_ns])

    return Statistics(
        calls=len(pooled_ns),
        rounds=len(rounds),
        p25_ms=typical(lambda values: np.percentile(values, 25)),
        p50_ms=typical(np.median),
        p90_ms=tail_percentile(calls_ns, 90),
        p95_ms=tail_percentile(calls_ns, 95),
        p99_ms=tail_percentile(calls_ns, 99),
        min_ms=float(pooled_ns.min()) / 1e6,
        mean_ms=typical(np.mean),
        throughput_per_s=over_rounds([batch * _calls_per_s(blocks) for blocks in rounds]),
        warm_up=kind,
    )


def over_rounds(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean of positive per-round values with a Student t interval on their logs, rounds - 1 d.f."""
    log_mean, half_width = log_interval([math.log(value) for value in values], confidence)
    if half_width is None:
        return Estimate(value=math.exp(log_mean), reason="one round gives no interval: it takes two processes or more")
    low, high = math.exp(log_mean - half_width), math.exp(log_mean + half_width)
    return Estimate(value=math.exp(log_mean), interval=Interval(low=low, high=high, confidence=confidence))


def log_interval(logs: Sequence[float], confidence: float) -> tuple[float, float | None]:
    """Mean of `logs` and the half width of its Student t interval; None for a single one."""
    mean = float(np.mean(logs))
    if len(logs) < 2:
        return mean, None
    from scipy import special  # scipy.stats has it too, and takes three times as long to import

    standard_error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    return mean, float(special.stdtrit(len(logs) - 1, (1 + confidence) / 2)) * standard_error


def tail_percentile(rounds_ns: Sequence[Sequence[Floats]], percent: float) -> Estimate:
    """A percentile of all calls with the exact binomial interval between two order statistics, in ms.

    Calls are not independent: slow ones cluster in blocks and processes. So the number of calls n counts as
    n / `variance_inflation`. Too few for an interval: no value, and the number of calls that would do.
    """
    blocks = [block for round_blocks in rounds_ns for block in round_blocks]
    ordered = np.sort(np.concatenate(blocks))
    value_ns = float(np.percentile(ordered, percent))
    inflation = variance_inflation(rounds_ns, value_ns, percent / 100)
    ranks = _interval_ranks(math.floor(len(ordered) / inflation), len(ordered), percent / 100)
    if ranks is None:
        needed = math.ceil(calls_needed(percent / 100) * inflation)
        return Estimate(value=None, reason=f"not established: needs about {needed} calls, has {len(ordered)}")
    low_ms, high_ms = (float(ordered[rank]) / 1e6 for rank in ranks)
    return Estimate(value=value_ns / 1e6, interval=Interval(low=low_ms, high=high_ms, confidence=CONFIDENCE))


def calls_needed(quantile: float, confidence: float = CONFIDENCE) -> int:
    """Fewest independent calls that allow a two-sided interval: the largest must lie above with enough certainty."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(quantile))


def variance_inflation(rounds_ns: Sequence[Sequence[Floats]], threshold_ns: float, quantile: float) -> float:
    """Variance of the counts of calls above the threshold over the binomial variance of independent calls, at least 1.

    Counted per block and per round; the larger counts, because either may be where slow calls come together.
    """
    per_block = [block for blocks in rounds_ns for block in blocks]
    per_round = [np.concatenate(blocks) for blocks in rounds_ns]
    return max(1.0, *(_count_inflation(parts, threshold_ns, quantile) for parts in (per_block, per_round)))


def _count_inflation(parts: Sequence[Floats], threshold_ns: float, quantile: float) -> float:
    if len(parts) < 2:
        return 1.0
    expected = np.array([len(part) * (1 - quantile) for part in parts])
    counts = np.array([np.count_nonzero(part > threshold_ns) for part in parts])
    return float(np.sum((counts - expected) ** 2 / (expected * quantile)) / (len(parts) - 1))


def _interval_ranks(effective_calls: int, calls: int, quantile: float) -> tuple[int, int] | None:
    """Places (from 0) in the ordered calls between which the quantile lies; None where no such order statistic is."""
    if effective_calls < calls_needed(quantile):
        return None
    from scipy import stats

    below, above = (float(stats.binom.ppf((1 + sign * CONFIDENCE) / 2, effective_calls, quantile)) for sign in (-1, 1))
    scale = calls / effective_calls
    return max(0, math.floor((below - 1) * scale)), min(calls, math.ceil((above + 1) * scale)) - 1


def _calls_per_s(blocks: Sequence[Block]) -> float:
    """Steady calls over the wall time of the blocks without their settling calls."""
    calls = sum(len(block.steady_ns) for block in blocks)
    wall_ns = sum(
        max(block.wall_ns - sum(block.latencies_ns[: block.settling_calls]), sum(block.steady_ns)) for block in blocks
    )
    return calls / max(wall_ns, 1) * 1e9
