"""One load point from its requests: rates, percentiles from the time each was due, service times, goodput, costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.core.requests import DISCONNECTED, TIMED_OUT, UNSENT, Requests
from bench.core.results import Estimate
from bench.core.served import LoadPoint

from .columns import Floats, client_lag_ms, is_answered, is_sent, is_steady, latencies_ms, select, steady, waited_ms
from .evidence import BLOCKS, order_statistic, percentile, variance_inflation
from .goodput import is_good, share

CLOSED = "closed"
NO_OBJECTIVE = Estimate(value=None, reason="no objective was set for the latency")


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What was asked of a server, and what the client saw besides the requests.

    `connections` is how many requests the client can have under way at once, None without limit. `load_ratio` is the
    offered rate over the most that the server can do, None where that is not known. `duplicates` are answers that came
    for a request already answered. Processor times are of all processes of either side, over the whole load.
    """

    kind: str
    concurrency: int | None = None  # of a closed loop
    connections: int | None = None
    load_ratio: float | None = None
    slo_ms: float | None = None
    error_budget_ratio: float = 0.0
    duplicates: int = 0
    server_cpu_s: float | None = None
    client_cpu_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests were due at times of their own, and not when the one before was answered."""
        return self.kind != CLOSED


def summarise(requests: Requests, load: Load) -> LoadPoint:
    """The numbers of a load point, not yet judged; see `LoadPoint` for what each is of.

    A request that failed is in no percentile faster than one that was answered, and its latency never small: where a
    percentile reaches the share that failed, it has no value. ValueError: there is no request.
    """
    settled = steady(requests)
    window_s = _window_s(settled, load)
    point = _with_latency(_with_lag(_counted(requests, load), requests, load), settled, load)
    offered = len(settled.planned_ns) if load.is_open else int(is_answered(settled).sum())
    return replace(
        point,
        offered_per_s=_rate(offered, _planned_span_s(settled) if load.is_open else window_s),
        achieved_per_s=_rate(int(is_answered(settled).sum()), window_s),
        goodput_per_s=_goodput_per_s(settled, load, window_s),
    )


def _counted(requests: Requests, load: Load) -> LoadPoint:
    """What is of the whole load, the warm-up included: a failure during the warm-up is a failure."""
    status = requests.status
    sent = is_sent(requests)
    timed_out, disconnected, unsent = (int((status == code).sum()) for code in (TIMED_OUT, DISCONNECTED, UNSENT))
    answered = int(is_answered(requests).sum())
    last_ns = max(int(requests.done_ns[sent].max(initial=0)), int(requests.planned_ns[-1]))
    duration_s = (last_ns - int(requests.planned_ns[0])) / 1e9
    sent_count = int(sent.sum())
    statuses, counts = np.unique(status, return_counts=True)
    return LoadPoint(
        kind=load.kind,
        concurrency=load.concurrency,
        duration_s=duration_s,
        requests=len(status),
        answered=answered,
        errors=len(status) - answered - timed_out - disconnected - unsent,
        timed_out=timed_out,
        disconnected=disconnected,
        unsent=unsent,
        checked=int((requests.verdict >= 0).sum()),
        wrong=int((requests.verdict == 0).sum()),
        server_cpu_us_per_request=_us_each(load.server_cpu_s, sent_count),
        client_cpu_us_per_request=_us_each(load.client_cpu_s, sent_count),
        client_cpu_ratio=load.client_cpu_s / duration_s if load.client_cpu_s is not None and duration_s else None,
        statuses=tuple((int(code), int(count)) for code, count in zip(statuses, counts, strict=True)),
    )


def _with_lag(point: LoadPoint, requests: Requests, load: Load) -> LoadPoint:
    if not load.is_open:
        return point
    lag_us = client_lag_ms(requests, load.connections)[is_steady(requests) & is_sent(requests)] * 1e3
    return replace(point, lag_p50_us=_plain_percentile(lag_us, 50), lag_p99_us=_plain_percentile(lag_us, 99))


def _with_latency(point: LoadPoint, settled: Requests, load: Load) -> LoadPoint:
    latencies = latencies_ms(settled)
    all_answered = bool(np.isfinite(latencies).all())
    service_ms = (settled.done_ns - settled.sent_ns)[is_answered(settled)] / 1e6
    inflation = _tail_inflation(latencies)
    good = None if load.slo_ms is None else is_good(settled, load.slo_ms)
    return replace(
        point,
        p50_ms=_percentile(settled, latencies, 50, load),
        p90_ms=_percentile(settled, latencies, 90, load),
        p95_ms=_percentile(settled, latencies, 95, load),
        p99_ms=_percentile(settled, latencies, 99, load),
        mean_ms=float(latencies.mean()) if all_answered else None,
        max_ms=float(latencies.max()) if all_answered else None,
        service_p50_ms=_plain_percentile(service_ms, 50),
        service_p99_ms=_plain_percentile(service_ms, 99),
        variance_inflation=inflation,
        goodput_ratio=NO_OBJECTIVE if good is None else share(good, inflation or 1.0),
    )


def _percentile(settled: Requests, latencies: Floats, percent: float, load: Load) -> Estimate:
    estimate = percentile(latencies, percent, load.load_ratio if load.is_open else None)
    waits = waited_ms(settled)[settled.status == TIMED_OUT]
    if estimate.value is None and len(waits) and np.isinf(order_statistic(latencies, percent)):
        return replace(estimate, reason=f"{estimate.reason}; those that timed out waited {waits.min():.0f} ms and more")
    return estimate


def _plain_percentile(values: Floats, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def _tail_inflation(latencies: Floats) -> float | None:
    """Of the requests above p99; None where it is not finite, or there are too few requests to count in blocks."""
    if len(latencies) < BLOCKS:
        return None
    threshold = order_statistic(latencies, 99)
    return None if np.isinf(threshold) else variance_inflation(latencies > threshold)


def _planned_span_s(settled: Requests) -> float:
    """The time over which the requests were due, the gap after the last one included."""
    count = len(settled.planned_ns)
    return float(settled.planned_ns[-1] - settled.planned_ns[0]) / 1e9 * count / max(1, count - 1)


def _window_s(settled: Requests, load: Load) -> float:
    """The time in which a server did its work.

    Of an open load, the time in which it was due, and what the last requests ended later by than the first: in a
    queue that only grows, the difference is what the server could not do.
    """
    sent = select(settled, is_sent(settled))
    if not len(sent.sent_ns):
        return 0.0
    if not load.is_open:
        return float(sent.done_ns.max() - sent.sent_ns.min()) / 1e9
    parts = np.array_split(waited_ms(sent), min(BLOCKS, len(sent.sent_ns)))
    return _planned_span_s(settled) + max(0.0, float(np.median(parts[-1]) - np.median(parts[0])) / 1e3)


def _goodput_per_s(settled: Requests, load: Load, window_s: float) -> float | None:
    return None if load.slo_ms is None else _rate(int(is_good(settled, load.slo_ms).sum()), window_s)


def _rate(count: int, time_s: float) -> float:
    return count / time_s if time_s > 0 else 0.0


def _us_each(cpu_s: float | None, count: int) -> float | None:
    return None if cpu_s is None or not count else cpu_s / count * 1e6
