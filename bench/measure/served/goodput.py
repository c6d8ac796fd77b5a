"""The share of requests answered right and in time, which needs far fewer requests than a p99 does."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from bench.core.requests import Requests
from bench.core.results import Estimate, Interval

from .columns import Bools, is_answered, latencies_ms
from .evidence import variance_inflation

CONFIDENCE = 0.95


def is_good(requests: Requests, slo_ms: float) -> Bools:
    """Per request, whether it was answered with a good status, not found wrong, and within `slo_ms` of being due."""
    good: Bools = is_answered(requests) & (requests.verdict != 0) & (latencies_ms(requests) <= slo_ms)
    return good


def share(good: Bools, inflation: float = 1.0) -> Estimate:
    """Share of True with Wilson's interval of n / variance inflation independent requests.

    `inflation` is the least to assume: where hardly a request is late, their own clusters cannot be seen.
    """
    requests = len(good)
    if not requests:
        return Estimate(value=None, reason="no request was due after the warm-up")
    ratio = float(np.mean(good))
    effective = requests / max(inflation, variance_inflation(~good))
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = (ratio + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * math.sqrt(ratio * (1 - ratio) / effective + (z / (2 * effective)) ** 2)
    interval = Interval(low=max(0.0, centre - half), high=min(1.0, centre + half), confidence=CONFIDENCE)
    return Estimate(value=ratio, interval=interval)
