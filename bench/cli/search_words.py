"""What `bench search` found, in lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.core.units import format_bytes, format_ms, format_percent, format_seconds

if TYPE_CHECKING:
    from bench.core.results import Estimate
    from bench.core.served import LoadPoint, ProbeResult
    from bench.runner.replicas import Tried
    from bench.runner.searching import Objective, Searched


def search_lines(found: Searched) -> Iterator[str]:
    """A search with all its loads."""
    result, objective = found.result, found.objective
    name = f"{found.model}.{found.variant} behind {found.topology}, {_counted(found.limits.threads, 'thread')}"
    yield f"{name}: {_goal_words(objective)}"
    yield from (f"  {line}" for line in _rates(found))
    yield from (f"  note: {note}" for note in found.served.notes)
    yield from (f"  {flag.name}: {flag.text}" for flag in found.flags)
    yield ""
    yield from _probes_table(found)
    yield f"{result.requests} requests in {format_seconds(found.spent_s)}"


def _goal_words(objective: Objective) -> str:
    errors = format_percent(objective.error_budget_ratio) if objective.error_budget_ratio else "none"
    return f"{objective.name} within {format_ms(objective.latency_ms)} of when a request was due, failures: {errors}"


def _rates(found: Searched) -> Iterator[str]:
    result = found.result
    if result.confirmed_per_s is None:
        yield f"no rate is confirmed: {_in_its_words(result.reason, found.objective)}"
    else:
        yield f"confirmed  {_rate(result.confirmed_per_s)}: {result.confidence}"
        if found.served.headline is not None:
            yield f"           {_evidence(found.served.headline, found.objective)}"
    yield f"fitted     {_rate(result.fitted_per_s)}"
    yield f"bracket    kept at {_rate(result.held_per_s)}, missed at {_rate(result.failed_per_s)}"
    callers = _counted(result.knee_concurrency or 0, "caller")
    yield f"at most    {_rate(result.x_max_per_s)} in a closed loop, reached with {callers}"
    if found.served.headline is not None and found.served.headline.server_cpu_us_per_request is not None:
        cpu_us = found.served.headline.server_cpu_us_per_request
        memory = format_bytes(found.served.server_memory_bytes)
        processes = _counted(found.served.server_processes, "process")
        yield f"costs      {cpu_us:.0f} us of processor time a request, {memory} in {processes}"


def _counted(count: int, what: str) -> str:
    ending = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count} {what}{ending}"


def _evidence(point: LoadPoint, objective: Objective) -> str:
    """The percentile with its interval, or the goodput where there are too few requests for it."""
    estimates: dict[int, Estimate] = {50: point.p50_ms, 90: point.p90_ms, 95: point.p95_ms, 99: point.p99_ms}
    estimate = estimates[objective.percent]
    if estimate.value is not None and estimate.interval is not None:
        low, high = format_ms(estimate.interval.low), format_ms(estimate.interval.high)
        return f"{objective.name} {format_ms(estimate.value)} [{low}–{high}]"
    goodput = point.goodput_ratio
    if goodput.value is None:
        return f"{objective.name} {estimate.reason}"
    between = ""
    if goodput.interval is not None:
        between = f" [{format_percent(goodput.interval.low)}–{format_percent(goodput.interval.high)}]"
    return (
        f"{objective.name} {estimate.reason or 'has no interval'}; {format_percent(goodput.value)}{between} of the "
        f"requests were within {format_ms(objective.latency_ms)}"
    )


def _in_its_words(text: str, objective: Objective) -> str:
    return text.replace("p99", objective.name)


def _rate(rate_per_s: float | None) -> str:
    return "no rate" if rate_per_s is None else f"{rate_per_s:.4g}/s"


def _probes_table(found: Searched) -> Iterator[str]:
    row = "{:>10} {:>10} {:>12} {:>9} {:>9}  {}"
    yield row.format("rate", "requests", found.objective.name, "in time", "failed", "")
    for probe in found.result.probes:
        in_time = probe.in_time_ratio.value
        yield row.format(
            _rate(probe.rate_per_s),
            probe.requests,
            "–" if probe.p99_ms is None else format_ms(probe.p99_ms),
            "–" if in_time is None else format_percent(in_time),
            format_percent(probe.error_ratio) if probe.error_ratio else "–",
            _verdict(probe, found),
        ).rstrip()


def _verdict(probe: ProbeResult, found: Searched) -> str:
    if probe.problem:
        return f"not believed: {probe.problem.partition(';')[0]}"
    if probe.saturated:
        return "saturated: the queue only grew"
    kept = probe.p99_ms is not None and probe.p99_ms <= found.objective.latency_ms
    errors = probe.error_ratio > found.objective.error_budget_ratio
    return "missed: too many failed" if kept and errors else "kept" if kept else "missed"


def plan_lines(name: str, objective: Objective, tried: Sequence[Tried]) -> Iterator[str]:
    """Ways to share out processors, best first."""
    yield f"{name}: {_goal_words(objective)}"
    row = "{:>7} {:>7} {:>8} {:>10} {:>9} {:>12} {:>9}  {}"
    yield row.format("workers", "threads", "delay", "rate", objective.name, "CPU/request", "memory", "").rstrip()
    for each in tried:
        yield row.format(each.plan.workers, each.plan.threads, *_plan_cells(each, objective)).rstrip()
    flags = {flag.name: flag for each in tried if each.searched for flag in each.searched.flags}
    yield from (f"  {flag.name}: {flag.text}" for flag in flags.values())
    if tried[0].rate_per_s is not None:
        yield "best first; where rates are within 3 % of each other, less memory goes before"


def _plan_cells(tried: Tried, objective: Objective) -> tuple[str, ...]:
    delay = format_ms(tried.plan.batching_delay_ms) if tried.plan.batching_delay_ms else "none"
    if tried.searched is None:
        return delay, "–", "–", "–", "–", tried.problem
    result, point = tried.searched.result, tried.point
    cpu_us = None if point is None else point.server_cpu_us_per_request
    confirmed = next((probe for probe in reversed(result.probes) if result.confirmed_per_s is not None), None)
    return (
        delay,
        _rate(result.confirmed_per_s),
        "–" if confirmed is None else format_ms(confirmed.p99_ms),
        "–" if cpu_us is None else f"{cpu_us:.0f} us",
        format_bytes(tried.searched.served.server_memory_bytes),
        _in_its_words(result.reason, objective),
    )
