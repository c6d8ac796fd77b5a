"""All that is known of one served cell, as facts by name and a table of its loads."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.requests import OK_GRPC, OK_HTTP
from bench.core.results import Estimate
from bench.core.served import LoadPoint, Served
from bench.core.units import format_bytes, format_ms, format_percent, format_seconds
from bench.report.words import NOTHING, latency_text, made_text, recipe_text

from .row import ServedRow
from .section import ServedSection
from .words import cost_text, cpu_text, estimate_text, rate_text

#: Columns of the table of loads; those after the second are numbers.
LOAD_COLUMNS = (
    "load", "verdict", "offered", "done", "requests", "failed", "checked", "p50", "p90", "p95", "p99", "slowest",
    "in time", "sent late, p99", "server CPU", "of a client's core",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Details:
    """`facts` by name, and `loads` as texts of `LOAD_COLUMNS`."""

    row: ServedRow
    name: str
    facts: tuple[tuple[str, str], ...]
    loads: tuple[tuple[str, ...], ...]


def details(section: ServedSection, row: ServedRow) -> Details:
    """What the table has no room for."""
    return Details(row=row, name=section.short(row), facts=_facts(row), loads=_loads(row.served))


def _facts(row: ServedRow) -> tuple[tuple[str, str], ...]:
    served = row.served
    options = ", ".join(f"{name} {value}" for name, value in row.record.cell.topology_options)
    return (
        ("made of", f"{recipe_text(row)}; {made_text(row)}"),
        ("topology", f"{row.record.cell.topology}{f' with {options}' if options else ''}"),
        ("spoken", " ".join(filter(None, (served.protocol, served.encoding))) or NOTHING),
        ("load", row.load),
        ("answers beside those in process", served.agreement or NOTHING),
        ("p50 in process", _with_reason(served.in_process_p50_ms)),
        ("server costs", _cost(served.server_cost_ms)),
        ("start", _start_text(served)),
        ("memory", f"{format_bytes(served.server_memory_bytes)} in {served.server_processes} processes"),
        ("answered by each worker", _workers_text(served)),
        ("requests", _counts_text(served)),
        ("new inputs against a repeated one", _ratio_text(served.caching_ratio)),
        (
            "fewest callers that bring the most",
            NOTHING if served.knee_concurrency is None else f"{served.knee_concurrency}",
        ),
        ("highest rate within the objective", _search_text(served)),
        ("flags", ", ".join(flag.name for flag in row.record.flags) or "none"),
        ("raw requests", served.samples_path or NOTHING),
    )


def _with_reason(estimate: Estimate) -> str:
    return latency_text(estimate) if estimate.value is not None else estimate.reason


def _cost(estimate: Estimate) -> str:
    return cost_text(estimate) if estimate.value is not None else estimate.reason


def _start_text(served: Served) -> str:
    parts = (("ready after", served.start_s), ("import", served.import_s), ("load", served.load_s))
    return ", ".join(f"{name} {format_seconds(value)}" for name, value in parts if value is not None) or NOTHING


def _workers_text(served: Served) -> str:
    shares = ", ".join(f"{answered} (process {pid})" for pid, answered in served.worker_counts)
    return f"{shares or 'not told'}; {served.restarts} restarts"


def _counts_text(served: Served) -> str:
    counted = [
        f"{count} {word}"
        for word, count in (("received", served.server_received), ("answered", served.server_answered))
        if count is not None
    ]
    return f"{served.client_sent} sent by the client; the server counted {', '.join(counted) or 'nothing'}"


def _ratio_text(estimate: Estimate) -> str:
    if estimate.value is None:
        return estimate.reason
    interval = estimate.interval
    return f"{estimate.value:.2f}x" + ("" if interval is None else f" [{interval.low:.2f}–{interval.high:.2f}]")


def _search_text(served: Served) -> str:
    search = served.search
    if search is None:
        return "not searched for"
    found = (
        search.reason if search.confirmed_per_s is None else f"{rate_text(search.confirmed_per_s)}, {search.confidence}"
    )
    flags = "; ".join(flag.text for flag in search.flags)
    return f"{found}; {flags}" if flags else found


def _loads(served: Served) -> tuple[tuple[str, ...], ...]:
    named = [
        ("one at a time", served.zero_load),
        ("saturation", served.saturation),
        ("the cell's own", served.headline),
        *(("curve", point) for point in served.curve),
    ]
    return tuple(_load(name, point) for name, point in named if point is not None)


def _load(name: str, point: LoadPoint) -> tuple[str, ...]:
    callers = f", {point.concurrency} callers" if point.concurrency is not None else ""
    late = NOTHING if point.lag_p99_us is None else format_ms(point.lag_p99_us / 1e3)
    core = NOTHING if point.client_cpu_ratio is None else format_percent(point.client_cpu_ratio)
    in_time = point.goodput_ratio.value
    return (
        f"{name} ({point.kind}{callers})",
        point.verdict,
        rate_text(point.offered_per_s),
        rate_text(point.achieved_per_s),
        str(point.requests),
        _failed_text(point),
        f"{point.checked}, {point.wrong} wrong" if point.wrong else str(point.checked),
        _percentile(point.p50_ms),
        *(estimate_text(estimate) for estimate in (point.p90_ms, point.p95_ms)),
        _percentile(point.p99_ms),
        format_ms(point.max_ms),
        NOTHING if in_time is None else format_percent(in_time),
        late,
        cpu_text(point.server_cpu_us_per_request),
        core,
    )


def _percentile(estimate: Estimate) -> str:
    return latency_text(estimate) if estimate.value is not None else estimate_text(estimate)


def _failed_text(point: LoadPoint) -> str:
    """How many failed, and how: the statuses of answers that are no good ones among them."""
    kinds = {
        "errors": point.errors,
        "timed out": point.timed_out,
        "disconnected": point.disconnected,
        "unsent": point.unsent,
    }
    ways = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    statuses = ", ".join(
        f"{count} of {_status_text(status)}"
        for status, count in point.statuses
        if status >= 0 and status not in {OK_HTTP, OK_GRPC}
    )
    return f"{ways or '0'}{f' ({statuses})' if statuses else ''}"


def _status_text(status: int) -> str:
    return f"gRPC status {status - OK_GRPC}" if status >= OK_GRPC else f"status {status}"
