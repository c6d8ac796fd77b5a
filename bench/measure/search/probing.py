"""A load of a search as its result: the plain p99, and whether the numbers are the server's."""

from __future__ import annotations

import math

from bench.core.requests import Requests
from bench.core.served import LoadPoint, ProbeResult
from bench.measure.served.columns import latencies_ms, steady
from bench.measure.served.evidence import plain_percentile

#: Verdicts after which a load says something about the server, if only that the rate is too high.
_TELLING = ("ok", "saturated", "errors")


def probe_result(requests: Requests, point: LoadPoint, rate_per_s: float) -> ProbeResult:
    """What a search is told of the load whose judged point is `point`, at the rate that was asked for."""
    p99_ms = plain_percentile(latencies_ms(steady(requests)), 99)
    return ProbeResult(
        rate_per_s=rate_per_s,
        requests=point.requests,
        p99_ms=None if math.isinf(p99_ms) else p99_ms,
        error_ratio=point.failed / point.requests,
        saturated=point.verdict == "saturated",
        problem="" if point.verdict in _TELLING else _problem(point),
        in_time_ratio=point.goodput_ratio,
    )


def _problem(point: LoadPoint) -> str:
    texts = [flag.text for flag in point.flags if flag.name.startswith("invalid-")]
    return "; ".join(texts) or point.verdict
