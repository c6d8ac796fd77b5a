"""Figures of served cells: latency over rate for each topology, and where the mean request spends its time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from bench.core.results import Estimate
from bench.core.served import LoadPoint
from bench.core.units import format_ms
from bench.report.figures import SLOTS, Figure, one_two_five, plain
from bench.report.words import printable

from .row import ServedRow
from .section import ServedSection
from .words import LAYERS, estimate_text, layers, rate_text, rates_text

#: Beyond as many colours as there are, topologies are told apart by their markers.
_SYMBOLS = ("circle", "square", "triangle-up", "cross")
_LAYER_ROLES = dict(zip(LAYERS, ("c0", "c1", "c2", "c5", "c3", "c4", "c7"), strict=True))
_HEAD_PX, _BAR_PX = 70, 46


def load_curves(section: ServedSection, slots: Mapping[str, int]) -> Figure | None:
    """Latency over the rate that was done, one colour per topology, the objective as a line; None: nothing to draw.

    Solid is p50, dashed p99 where there is evidence for one. `slots`: cell id -> place of its colour.
    """
    drawn = [row for row in section.rows if _drawn(row)]
    if not drawn:
        return None
    latencies = [value for row in drawn for _, value in _latencies(row)]
    latencies += [section.slo_ms] if section.slo_ms is not None else []
    low, high = math.log10(min(latencies)), math.log10(max(latencies))
    span = max(high - low, 0.2)
    bounds = low - 0.14 * span, high + 0.1 * span
    ticks = one_two_five(10 ** bounds[0], 10 ** bounds[1])
    widest = max(max(point.achieved_per_s for point in _drawn(row)) for row in drawn)
    widest = max([widest, *(row.served.x_max_per_s or 0.0 for row in drawn)])
    return {
        "kind": "curves",
        "data": [trace for row in drawn for trace in _traces(section, row, slots[row.record.cell_id], 10 ** bounds[0])],
        "layout": {
            "xaxis": {"title": {"text": "requests done per second"}, "range": [0, 1.06 * widest]},
            "yaxis": {
                "type": "log",
                "title": {"text": "latency since due"},
                "range": list(bounds),
                "tickvals": ticks,
                "ticktext": [format_ms(tick) for tick in ticks],
            },
            "shapes": [_objective(section.slo_ms)] if section.slo_ms is not None else [],
            "showlegend": True,
        },
        "alt": "; ".join(_in_words(section, row) for row in drawn),
        "caption": "Latency over rate: solid p50, dashed p99 where there is evidence; diamonds: one request at a time; "
        "ticks at the bottom: the most that it can do; stars: the highest rate within the objective, where it was "
        "searched for. Hollow: its numbers are not the server's.",
    }


def _drawn(row: ServedRow) -> list[LoadPoint]:
    """The loads of a row that can be placed: open ones, and those of callers that wait, except at saturation."""
    served = row.served
    points = (served.zero_load, served.headline, *served.curve)
    return [point for point in points if point is not None and point.p50_ms.value]


def _latencies(row: ServedRow) -> Iterator[tuple[LoadPoint, float]]:
    for point in _drawn(row):
        for value in (point.p50_ms.value, point.p99_ms.value if point.is_valid else None):
            if value:
                yield point, value


def _traces(section: ServedSection, row: ServedRow, slot: int, bottom_ms: float) -> Iterator[Figure]:
    points = sorted(_drawn(row), key=lambda point: point.achieved_per_s)
    is_open = [point for point in points if point.kind != "closed"]
    name = plain(section.short(row))
    symbol = _SYMBOLS[slot // SLOTS % len(_SYMBOLS)]
    common = {"type": "scatter", "slot": slot % SLOTS, "name": name, "legendgroup": str(slot)}
    sound = [point for point in is_open if point.is_valid]
    established = [point for point in sound if point.p99_ms.value is not None]
    waiting = [point for point in points if point.kind == "closed" and point.is_valid]
    doubtful = [point for point in points if not point.is_valid]
    yield (
        common
        | {
            "mode": "lines+markers",
            "line": {"width": 2},
            "marker": {"symbol": symbol, "size": 8},
            "showlegend": True,
        }
        | _placed(name, sound, "p50_ms")
    )
    if established:
        dashed = {"mode": "lines+markers", "line": {"width": 1.5, "dash": "dash"}, "showlegend": False}
        yield common | dashed | {"marker": {"symbol": symbol, "size": 5}} | _placed(name, established, "p99_ms")
    for group, shape in ((waiting, "diamond"), (doubtful, f"{symbol}-open")):
        if group:
            marker = {"symbol": shape, "size": 10, "line": {"width": 2 if group is doubtful else 1}}
            yield common | {"mode": "markers", "marker": marker, "showlegend": False} | _placed(name, group, "p50_ms")
    yield from (common | marked for marked in _rates(row, name, bottom_ms))


def _rates(row: ServedRow, name: str, bottom_ms: float) -> Iterator[Figure]:
    """The rates that are answers of their own: the most that it can do, and the highest within the objective."""
    most, search = row.served.x_max_per_s, row.served.search
    alone = {"mode": "markers", "showlegend": False, "cliponaxis": False}
    if most is not None:
        yield alone | {
            "marker": {"symbol": "line-ns-open", "size": 16, "line": {"width": 2}},
            "x": [most],
            "y": [bottom_ms],
            "customdata": [f"{name}<br>at most {rate_text(most)}"],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    if search is not None and search.confirmed_per_s is not None:
        yield alone | {
            "marker": {"symbol": "star", "size": 12, "line": {"width": 1}},
            "x": [search.confirmed_per_s],
            "y": [search.slo_ms],
            "customdata": [f"{name}<br>keeps {format_ms(search.slo_ms)} up to {rate_text(search.confirmed_per_s)}"],
            "hovertemplate": "%{customdata}<extra></extra>",
        }


def _placed(name: str, points: Sequence[LoadPoint], percentile: str) -> Figure:
    estimates: list[Estimate] = [getattr(point, percentile) for point in points]
    return {
        "x": [point.achieved_per_s for point in points],
        "y": [estimate.value for estimate in estimates],
        "customdata": [
            f"{name}<br>{point.kind} {rates_text(point)}: {point.verdict}<br>"
            f"p50 {estimate_text(point.p50_ms)}, p99 {estimate_text(point.p99_ms)}"
            for point in points
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _objective(slo_ms: float) -> Figure:
    return {
        "type": "line", "name": "objective", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": slo_ms, "y1": slo_ms,
        "label": {"text": f"objective {format_ms(slo_ms)}", "textposition": "start", "yanchor": "bottom"},
    }  # fmt: skip


def _in_words(section: ServedSection, row: ServedRow) -> str:
    told = [f"{point.kind} {rates_text(point)} p50 {estimate_text(point.p50_ms)}" for point in _drawn(row)]
    most = row.served.x_max_per_s
    told += [] if most is None else [f"at most {rate_text(most)}"]
    return f"{printable(section.short(row))}: {', '.join(told)}"


def layer_bars(section: ServedSection) -> Figure | None:
    """The mean request of each topology as a bar of its layers, in process above; None where no server told them."""
    rows = [row for row in section.rows if row.ranked is not None and row.served.attribution is not None]
    found = [layers(row.served.attribution) for row in rows if row.served.attribution is not None]
    if not found:
        return None
    references = _in_process_ms(section)
    names = [*references, *(section.short(row) for row in rows)]
    known = [layer for layer in LAYERS if any(layer in each for each in found)]
    data = [_reference_bars(references)] if references else []
    data += [_bars(layer, found, names[len(references) :], len(references)) for layer in known]
    return {
        "kind": "layers",
        "data": data,
        "layout": {
            "barmode": "stack",
            "height": _HEAD_PX + _BAR_PX * len(names),
            "xaxis": {"title": {"text": "mean ms of a request"}, "rangemode": "tozero"},
            "yaxis": {
                "range": [len(names) - 0.4, -0.6],
                "tickvals": list(range(len(names))),
                "ticktext": [plain(name).replace(" (", "<br>(").replace(", ", ",<br>") for name in names],
            },
            "showlegend": False,
        },
        "alt": "; ".join(
            f"{printable(section.short(row))}: "
            + ", ".join(f"{layer} {format_ms(value)}" for layer, value in each.items())
            for row, each in zip(rows, found, strict=True)
        ),
        "legend": [(trace["role"], trace["name"]) for trace in data],
        "caption": f"Where the mean request spends its time under the cell's own load.{_left_out(section)}",
    }


def _in_process_ms(section: ServedSection) -> dict[str, float]:
    """Name of a bar -> median of a call without a server, per variant; each served cell knows it for its own."""
    found: dict[str, float] = {}
    for row in section.rows:
        value = row.served.in_process_p50_ms.value
        statistics = row.in_process.record.statistics if row.in_process is not None else None
        value = statistics.p50_ms.value if statistics is not None else value
        if value is not None:
            found.setdefault(f"in process, {row.variant}" if section.has_several_variants else "in process", value)
    return found


def _reference_bars(references: Mapping[str, float]) -> Figure:
    return {
        "type": "bar", "orientation": "h", "role": "ink", "name": "in process, p50", "width": 0.62,
        "x": list(references.values()), "y": list(range(len(references))), "marker": {"line": {"width": 1}},
        "customdata": [f"{plain(name)}<br>p50 {format_ms(value)}" for name, value in references.items()],
        "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip


def _bars(layer: str, found: Sequence[Mapping[str, float]], names: Sequence[str], first: int) -> Figure:
    places = [place for place, each in enumerate(found) if layer in each]
    return {
        "type": "bar", "orientation": "h", "role": _LAYER_ROLES[layer], "name": layer, "width": 0.62,
        "x": [found[place][layer] for place in places], "y": [first + place for place in places],
        "marker": {"line": {"width": 1}},
        "customdata": [
            f"{plain(names[place])}<br>{layer} {format_ms(found[place][layer])}, "
            f"{found[place][layer] / (sum(found[place].values()) or 1.0):.0%}"
            for place in places
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip


def _left_out(section: ServedSection) -> str:
    names = [
        f"{section.short(row)} ({row.standing})"
        for row in section.rows
        if row.ranked is None and row.served.attribution is not None
    ]
    return f" Left out, for their numbers are not the server's: {printable(', '.join(names))}." if names else ""
