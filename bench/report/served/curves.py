"""The figure of latency over rate, for each topology of a model."""

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
from .words import estimate_text, rate_text, rates_text

#: Beyond as many colours as there are, topologies are told apart by their markers.
_SYMBOLS = ("circle", "square", "triangle-up", "cross")


def load_curves(section: ServedSection, rows: Sequence[ServedRow], slots: Mapping[str, int]) -> Figure | None:
    """Latency over the rate that was done, one colour per topology, the objective as a line; None: nothing to draw.

    Solid is p50, dashed p99 where there is evidence for one. `rows` are one of the section's parts; `slots`: cell id ->
    place of its colour.
    """
    drawn = [row for row in rows if _drawn(row)]
    if not drawn:
        return None
    x_axis, y_axis = _rate_axis(drawn), _latency_axis(drawn, section.slo_ms)
    bottom_ms = 10 ** y_axis["range"][0]
    return {
        "kind": "curves",
        "data": [trace for row in drawn for trace in _traces(row, slots[row.record.cell_id], bottom_ms)],
        "layout": {
            "xaxis": x_axis,
            "yaxis": y_axis,
            "shapes": [_objective(section.slo_ms)] if section.slo_ms is not None else [],
            "showlegend": True,
        },
        "alt": "; ".join(_in_words(row) for row in drawn),
        "title": ", ".join(section.beside_topology(rows[0])),
        "caption": "Latency over rate: solid p50, dashed p99 where there is evidence; diamonds: one request at a time; "
        f"ticks at the bottom: the most that it can do{_of_stars(drawn)}. Hollow: its numbers are not the server's.",
    }


def _rate_axis(rows: Sequence[ServedRow]) -> Figure:
    rates = [point.achieved_per_s for row in rows for point in _drawn(row)]
    rates += [row.served.x_max_per_s for row in rows if row.served.x_max_per_s is not None]
    return {"title": {"text": "requests done per second"}, "range": [0, 1.06 * max(rates)]}


def _latency_axis(rows: Sequence[ServedRow], slo_ms: float | None) -> Figure:
    latencies = [estimate for row in rows for point in _drawn(row) for estimate in _known(point)]
    latencies += [slo_ms] if slo_ms is not None else []
    low, high = math.log10(min(latencies)), math.log10(max(latencies))
    span = max(high - low, 0.2)
    bounds = low - 0.14 * span, high + 0.1 * span
    ticks = one_two_five(10 ** bounds[0], 10 ** bounds[1])
    return {
        "type": "log",
        "title": {"text": "latency since due"},
        "range": list(bounds),
        "tickvals": ticks,
        "ticktext": [format_ms(tick) for tick in ticks],
    }


def _known(point: LoadPoint) -> list[float]:
    """The latencies of a load that are drawn."""
    values = (point.p50_ms.value, point.p99_ms.value if point.is_valid else None)
    return [value for value in values if value]


def _of_stars(rows: Sequence[ServedRow]) -> str:
    was_searched = any(row.served.search is not None for row in rows)
    return "; stars: the highest rate within the objective" if was_searched else ""


def _drawn(row: ServedRow) -> list[LoadPoint]:
    """The loads of a row that can be placed: open ones, and those of callers that wait, except at saturation."""
    served = row.served
    points = (served.zero_load, served.headline, *served.curve)
    return [point for point in points if point is not None and point.p50_ms.value]


def _traces(row: ServedRow, slot: int, bottom_ms: float) -> list[Figure]:
    """All of a row in one colour, under one entry of the legend."""
    name = plain(row.topology)
    symbol = _SYMBOLS[slot // SLOTS % len(_SYMBOLS)]
    common = {"type": "scatter", "slot": slot % SLOTS, "name": name, "legendgroup": str(slot)}
    common |= {"hovertemplate": "%{customdata}<extra></extra>"}
    drawn = [*_latency_traces(row, name, symbol), *_rates(row, name, bottom_ms)]
    return [common | {"showlegend": place == 0} | each for place, each in enumerate(drawn)]


def _latency_traces(row: ServedRow, name: str, symbol: str) -> Iterator[Figure]:
    points = sorted(_drawn(row), key=lambda point: point.achieved_per_s)
    sound = [point for point in points if point.is_valid]
    queued = [point for point in sound if point.kind != "closed"]
    styles = (
        (queued, "p50_ms", {"line": {"width": 2}, "marker": {"symbol": symbol, "size": 8}}),
        (
            [point for point in queued if point.p99_ms.value is not None],
            "p99_ms",
            {"line": {"width": 1.5, "dash": "dash"}, "marker": {"symbol": symbol, "size": 5}},
        ),
        (
            [point for point in sound if point.kind == "closed"],
            "p50_ms",
            {"marker": {"symbol": "diamond", "size": 10, "line": {"width": 1}}},
        ),
        (
            [point for point in points if not point.is_valid],
            "p50_ms",
            {"marker": {"symbol": f"{symbol}-open", "size": 10, "line": {"width": 2}}},
        ),
    )
    for group, percentile, style in styles:
        if group:
            mode = "lines+markers" if "line" in style else "markers"
            yield {"mode": mode} | style | _placed(name, group, percentile)


def _rates(row: ServedRow, name: str, bottom_ms: float) -> Iterator[Figure]:
    """The rates that are answers of their own: the most that it can do, and the highest within the objective."""
    most, search = row.served.x_max_per_s, row.served.search
    alone = {"mode": "markers", "cliponaxis": False}
    if most is not None:
        yield alone | {
            "marker": {"symbol": "line-ns-open", "size": 16, "line": {"width": 2}},
            "x": [most],
            "y": [bottom_ms],
            "customdata": [f"{name}<br>at most {rate_text(most)}"],
        }
    if search is not None and search.confirmed_per_s is not None:
        yield alone | {
            "marker": {"symbol": "star", "size": 12, "line": {"width": 1}},
            "x": [search.confirmed_per_s],
            "y": [search.slo_ms],
            "customdata": [f"{name}<br>keeps {format_ms(search.slo_ms)} up to {rate_text(search.confirmed_per_s)}"],
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
    }


def _objective(slo_ms: float) -> Figure:
    return {
        "type": "line", "name": "objective", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": slo_ms, "y1": slo_ms,
        "label": {"text": f"objective {format_ms(slo_ms)}", "textposition": "start", "yanchor": "bottom"},
    }  # fmt: skip


def _in_words(row: ServedRow) -> str:
    told = [f"{point.kind} {rates_text(point)} p50 {estimate_text(point.p50_ms)}" for point in _drawn(row)]
    most = row.served.x_max_per_s
    told += [] if most is None else [f"at most {rate_text(most)}"]
    return f"{printable(row.topology)}: {', '.join(told)}"
