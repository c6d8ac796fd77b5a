"""Each fact of a served cell as a short text, the same in every view."""

from __future__ import annotations

import math
import re

from bench.core.results import Estimate
from bench.core.served import Attribution, LoadPoint
from bench.core.units import format_bytes, format_ms, format_percent
from bench.report.row import Row
from bench.report.words import NOTHING

from .row import ServedRow
from .section import ServedSection

COLUMNS = (
    "topology", "variant", "load", "verdict", "rate", "p50", "p99", "in time", "alone", "server costs", "most",
    "in objective", "CPU", "memory", "answers (checked)",
)  # fmt: skip
NUMBERS = frozenset(COLUMNS[4:-1])
#: Layers of the attribution, in the order in which a request goes through them.
LAYERS = ("client", "transport", "queue", "deserialise", "infer", "serialise", "server")
#: Rates that differ by less are told as one: arrivals are random.
_SAME_RATE = 0.01
_EXPLAINED_RATIO = 0.01
_REQUESTS_NEEDED = re.compile(r"needs (?:about )?(\d+) requests")


def columns(section: ServedSection) -> tuple[str, ...]:
    """The columns that tell something about this model."""
    needed = {
        "variant": section.has_several_variants,
        "load": section.has_several_loads,
        "in time": section.slo_ms is not None,
        "in objective": any(row.served.search is not None for row in section.rows),
    }
    return tuple(column for column in COLUMNS if needed.get(column, True))


def cells(section: ServedSection, row: ServedRow) -> dict[str, str]:
    """Column -> text of one row."""
    served, point = row.served, row.ranked
    return {
        "topology": row.topology,
        "variant": row.variant,
        "load": row.load,
        "verdict": f"{row.standing}, best" if section.is_taken(row) else row.standing,
        "rate": rates_text(row.headline),
        "p50": percentile_text(row, "p50_ms"),
        "p99": percentile_text(row, "p99_ms"),
        "in time": in_time_text(row),
        "alone": alone_text(served.zero_load),
        "server costs": cost_text(served.server_cost_ms),
        "most": most_text(row),
        "in objective": in_objective_text(row),
        "CPU": NOTHING if point is None else cpu_text(point.server_cpu_us_per_request),
        "memory": format_bytes(served.server_memory_bytes),
        "answers (checked)": answers_text(row),
    }


def in_process_cells(row: Row) -> dict[str, str]:
    """The same columns of a variant without a server: it has one caller, so its p50 is that of a request alone."""
    statistics, costs = row.record.statistics, row.record.costs
    known = {
        "topology": "in process",
        "variant": row.variant,
        "verdict": "ok" if row.is_ok else row.standing,
        "alone": format_ms(statistics.p50_ms.value if statistics is not None else None),
        "CPU": format_ms(costs.cpu_ms_per_call),
        "memory": format_bytes(costs.peak_memory_bytes),
    }
    return {column: known.get(column, NOTHING) for column in COLUMNS}


def rate_text(rate_per_s: float) -> str:
    """Requests per second with three significant digits."""
    return f"{rate_per_s:.3g}/s" if rate_per_s < 999.5 else f"{rate_per_s:.0f}/s"


def rates_text(point: LoadPoint | None) -> str:
    """What was offered, and what was done of it where that is something else."""
    if point is None:
        return NOTHING
    offered, achieved = point.offered_per_s, point.achieved_per_s
    if abs(offered - achieved) <= _SAME_RATE * offered:
        return rate_text(offered)
    return f"{rate_text(offered)}, {rate_text(achieved)} done"


def percentile_text(row: ServedRow, name: str) -> str:
    """A percentile of the cell's own load, or why there is none."""
    if row.headline is None:
        return NOTHING
    if row.ranked is None:
        return "not valid"
    return estimate_text(getattr(row.ranked, name))


def estimate_text(estimate: Estimate) -> str:
    """A latency, or in short what it would take."""
    if estimate.value is not None:
        return format_ms(estimate.value)
    needed = _REQUESTS_NEEDED.search(estimate.reason)
    if needed:
        return f"needs ~{needed[1]} requests"
    return "among failures" if estimate.reason.startswith("it lies among") else "no evidence"


def in_time_text(row: ServedRow) -> str:
    """Whether the objective is kept, and by how many of all requests."""
    if row.ranked is None or row.ranked.goodput_ratio.value is None:
        return NOTHING
    word = {True: "kept", False: "missed", None: "undecided"}[row.keeps_objective]
    return f"{word}, {format_percent(row.ranked.goodput_ratio.value)}"


def alone_text(point: LoadPoint | None) -> str:
    """The median of one request at a time."""
    return format_ms(point.p50_ms.value) if point is not None and point.is_valid else NOTHING


def cost_text(estimate: Estimate) -> str:
    """What serving adds to a request alone, with its sign and half of its interval."""
    if estimate.value is None:
        return NOTHING
    if estimate.interval is None:
        return signed_ms(estimate.value)
    half = (estimate.interval.high - estimate.interval.low) / 2
    decimals = min(3, max(0, -math.floor(math.log10(half)))) if half > 0 else 3
    return f"{estimate.value:+.{decimals}f} ms ±{half:.{decimals}f}"


def signed_ms(value_ms: float) -> str:
    """Milliseconds, whatever the size, with their sign."""
    return f"{value_ms:+.3g} ms"


def most_text(row: ServedRow) -> str:
    """The throughput of a closed loop with ever more callers; at least so much where the client could not do more."""
    point, most = row.served.saturation, row.served.x_max_per_s
    if point is None or most is None or point.verdict not in {"ok", "client-limited"}:
        return NOTHING
    return f"{'' if point.is_valid else '>'}{rate_text(most)}"


def in_objective_text(row: ServedRow) -> str:
    """The highest rate that kept the objective in a load of its own."""
    search = row.served.search
    if search is None:
        return NOTHING
    return "none found" if search.confirmed_per_s is None else rate_text(search.confirmed_per_s)


def cpu_text(used_us: float | None) -> str:
    """Processor time per request."""
    return format_ms(None if used_us is None else used_us / 1e3)


def answers_text(row: ServedRow) -> str:
    """How far the answers are those of the same variant in process, and how many of the load's were looked at."""
    agreement, point = row.served.agreement, row.headline
    if not agreement:
        return NOTHING
    if point is not None and point.wrong:
        return f"{point.wrong} of {point.checked} wrong"
    words = agreement if agreement in {"bitwise", "within tolerance"} else "differ from in process"
    return words if point is None else f"{words} ({point.checked})"


def layers(attribution: Attribution) -> dict[str, float]:
    """Layer -> mean ms, of those that are known."""
    known = {layer: getattr(attribution, f"{layer}_ms") for layer in LAYERS}
    return {layer: value for layer, value in known.items() if value is not None}


def attribution_columns(section: ServedSection) -> tuple[str, ...]:
    """The layers that some row knows, and what they add up to; none where no row has an attribution."""
    known = {layer for row in section.rows if row.served.attribution for layer in layers(row.served.attribution)}
    return (*(layer for layer in LAYERS if layer in known), "sum = end to end") if known else ()


def attribution_cells(attribution: Attribution) -> dict[str, str]:
    """Column -> mean ms of one row."""
    found = layers(attribution)
    total, end_to_end = sum(found.values()), attribution.end_to_end_ms
    texts = {layer: plain_ms(found[layer]) if layer in found else NOTHING for layer in LAYERS}
    unexplained = attribution.unexplained_ratio
    said = NOTHING if end_to_end is None else plain_ms(end_to_end)
    if unexplained is not None and unexplained > _EXPLAINED_RATIO:
        said = f"{plain_ms(total)} of {said}"
    return texts | {"sum = end to end": said}


def plain_ms(value_ms: float) -> str:
    """Milliseconds without a unit, for a column of them."""
    return f"{value_ms:.{3 if value_ms < 1 else 2 if value_ms < 10 else 1}f}"


def method_text(slo_ms: float | None) -> str:
    """What the numbers of served cells are."""
    objective = "" if slo_ms is None else f"; in time: answered right within {slo_ms:g} ms of being due"
    return (
        "p50 and p99: from when a request was due, after the warm-up of an open load; alone: p50 of one request at a "
        "time; server costs: that less the p50 in process; most: a closed loop of ever more callers; CPU (of a "
        f"request) and memory (proportional set size): all processes of the server{objective}"
    )
