"""How much a percentile of a load is worth: requests that queue together are not independent, and few are not enough.

Late requests come in clusters, so n of them count as n / variance inflation: the variance of the counts above a
threshold in 25 blocks of the load over that of independent requests. Bounds are exact binomial ones with that many.
Because a short load with few clusters cannot know its own inflation, its length is fixed in advance from the load:
with 20 000 requests at 0.7 of what the server can do, a nominal 99 % bound holds in 97 of 100 simulated loads where
the independent one holds in 71.
"""

from __future__ import annotations

import math

import numpy as np

from bench.core.results import Estimate, Interval

from .columns import WARM_UP_RATIO, Bools, Floats

BLOCKS = 25
#: Of each side of a percentile's interval.
SIDE_CONFIDENCE = 0.99

#: Highest load ratio -> fewest requests after the warm-up from which the p99 bound holds in 95 of 100 loads.
_REQUESTS_FOR_P99 = ((0.2, 1_500), (0.3, 2_000), (0.5, 5_000), (0.7, 20_000), (0.8, 60_000))
_HIGHEST_LOAD_RATIO = 0.98  # beyond, a queue forgets so slowly that no load is long enough


def variance_inflation(exceeds: Bools, blocks: int = BLOCKS) -> float:
    """Variance of the blocks' counts of True over the binomial variance of independent requests, at least 1.

    `exceeds` is in the order of planning; what is left over by equal blocks is not counted. 1 where all are equal.
    """
    length = len(exceeds) // blocks
    if not length:
        return 1.0
    counts = exceeds[: length * blocks].reshape(blocks, length).sum(axis=1)
    share = float(exceeds.mean())
    if share in {0.0, 1.0}:
        return 1.0
    return max(1.0, float(np.var(counts, ddof=1)) / (length * share * (1 - share)))


def requests_needed(percent: float, load_ratio: float) -> int | None:
    """Fewest requests after the warm-up for a percentile at a load (offered rate / most the server can do).

    Fewer do for lower percentiles, in proportion to the share of requests above. None: no number is enough.
    """
    if load_ratio > _HIGHEST_LOAD_RATIO:
        return None
    steps = [needed for highest, needed in _REQUESTS_FOR_P99 if load_ratio <= highest + 1e-9]
    # Above 0.8 the time in which a queue forgets grows with 1 / (1 - load)^2.
    for_p99 = steps[0] if steps else 60_000 * (0.2 / (1 - load_ratio)) ** 2
    return math.ceil(round(for_p99 / (100 - percent), 6))


def requests_to_plan(percent: float, load_ratio: float) -> int | None:
    """`requests_needed` with the warm-up on top."""
    needed = requests_needed(percent, load_ratio)
    return None if needed is None else math.ceil(needed / (1 - WARM_UP_RATIO))


def percentile(latencies_ms: Floats, percent: float, load_ratio: float | None = None) -> Estimate:
    """A percentile of all requests, in the order of planning and infinite where they failed, with its interval.

    No value: too few requests for an upper bound, or for the load where `load_ratio` is given, or it lies among the
    failed. The median of a load that is too short keeps its value, and has no interval.
    """
    requests = len(latencies_ms)
    if not requests:
        return Estimate(value=None, reason="not established: no request was due after the warm-up")
    value = plain_percentile(latencies_ms, percent)
    if math.isinf(value):
        failed = int(np.isinf(latencies_ms).sum())
        reason = f"it lies among the {failed} of {requests} requests that came to no good answer"
        return Estimate(value=None, reason=reason)
    inflation = variance_inflation(latencies_ms > value)
    shortage = _shortage(requests, inflation, percent, load_ratio)
    if shortage:
        return Estimate(value=value if percent <= 50 else None, reason=shortage)
    low, high = bounds(latencies_ms, percent / 100, inflation)
    if math.isinf(high):
        return Estimate(value=value, reason="no upper bound: it lies among the requests that failed")
    return Estimate(value=value, interval=Interval(low=low, high=high, confidence=2 * SIDE_CONFIDENCE - 1))


def bounds(
    latencies_ms: Floats, quantile: float, inflation: float, confidence: float = SIDE_CONFIDENCE
) -> tuple[float, float]:
    """Lower and upper bound of a quantile, `confidence` each: order statistics of n / `inflation` independent requests.

    The upper one is infinite where so few have no such order statistic. Formula: MLPerf LoadGen's early stopping, with
    n / inflation for n.
    """
    ordered = np.sort(latencies_ms)
    requests = len(ordered)
    effective = max(1, math.floor(requests / inflation))
    fewest, most = _exceedances(effective, 1 - quantile, confidence)
    low = float(ordered[max(0, requests - 1 - math.ceil(most / effective * requests))])
    high = math.inf if fewest < 0 else float(ordered[requests - 1 - math.floor(fewest / effective * requests)])
    return low, high


def _exceedances(effective: int, share: float, confidence: float) -> tuple[int, int]:
    """How many of `effective` requests lie above a quantile, at least and at most; -1: not even none is sure."""
    from scipy import special  # scipy.stats has it too, and takes three times as long to import

    cumulated = special.bdtr(np.arange(effective + 1), effective, share)
    return int(np.searchsorted(cumulated, 1 - confidence)) - 1, int(np.searchsorted(cumulated, confidence))


def order_statistic(latencies_ms: Floats, percent: float) -> float:
    """The smallest latency that at least `percent` of the requests do not exceed; infinite where that one failed."""
    return float(np.sort(latencies_ms)[math.ceil((len(latencies_ms) - 1) * percent / 100)])


def plain_percentile(latencies_ms: Floats, percent: float) -> float:
    """A percentile of all requests as it is, however few they are; infinite where it reaches those that failed."""
    if math.isinf(order_statistic(latencies_ms, percent)):
        return math.inf
    finite = np.minimum(latencies_ms, np.finfo(np.float64).max)  # interpolation would make infinity times 0 of it
    return float(np.percentile(finite, percent))


def _shortage(requests: int, inflation: float, percent: float, load_ratio: float | None) -> str:
    """Why there are too few requests; empty when there are enough."""
    needed = math.ceil(_independent_needed(percent / 100) * inflation)
    if load_ratio is not None:
        for_load = requests_needed(percent, load_ratio)
        if for_load is None:
            return f"not established: at {load_ratio:.2f} of what the server can do no number of requests is enough"
        needed = max(needed, for_load)
    return f"not established: needs about {needed} requests, has {requests}" if requests < needed else ""


def _independent_needed(quantile: float) -> int:
    """Fewest independent requests whose largest is an upper bound."""
    return math.ceil(math.log(1 - SIDE_CONFIDENCE) / math.log(quantile))
