"""Figures as plain JSON in the shapes of plotly.js; colours are roles, which the page fills in for light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.results import Accuracy
from bench.core.units import format_bytes, format_ms, format_points, format_ratio

from .reading import Row, Section
from .tails import TailCurve
from .words import fidelity_text, p50_text, printable, ratio_text, speed_up, worst

Figure = dict[str, Any]

#: Colours of variants are told apart by symbol and dash, too.
SLOTS = 8
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "hexagon", "triangle-down", "star-square")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "4px,2px", "8px,2px,2px,2px")
#: Stands for "identical" on a logarithmic axis.
_LEAST_ERROR = 1e-8
_LARGEST_MARKER_PX = 34
_TAIL_TICKS = {"fastest": 0.0, "p50": 0.30103, "p90": 1.0, "p99": 2.0, "p99.9": 3.0, "p99.99": 4.0}
_NORMAL_95 = 1.959964


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    row: Row
    x: float
    x_low: float
    x_high: float
    y: float
    y_low: float
    y_high: float


def _accuracy_change(accuracy: Accuracy) -> tuple[float, float, float]:
    """Points gained on the reference over the same samples, with the 95 % interval of Agresti and Min (2005) for
    paired proportions: half a sample is added to each of the four outcomes."""
    lost, gained = accuracy.reference_only_right + 0.5, accuracy.variant_only_right + 0.5
    total = accuracy.total + 2
    center = (gained - lost) / total
    half = _NORMAL_95 * math.sqrt(gained + lost - (gained - lost) ** 2 / total) / total
    change = (accuracy.variant_only_right - accuracy.reference_only_right) / accuracy.total
    return 100 * change, 100 * min(center - half, change), 100 * max(center + half, change)


def pareto(section: Section, slots: Mapping[str, int]) -> Figure | None:
    """Speed-up against what it costs in answers; None when fewer than two cells can be placed."""
    by_accuracy = section.has_labels
    points = [point for row in section.rows if (point := _point(row, by_accuracy=by_accuracy)) is not None]
    if len(points) < 2:
        return None
    points.sort(key=lambda point: point.x)
    largest = max(point.row.record.costs.artifact_size_bytes or 0 for point in points)
    data = [
        _pareto_trace(point, slots[point.row.variant], largest, place, by_accuracy=by_accuracy)
        for place, point in enumerate(points)
    ]
    limit = _limit(section, by_accuracy=by_accuracy)
    y_axis = _accuracy_axis(points, limit) if by_accuracy else _error_axis()
    shapes = [{"type": "line", "name": "rule", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1}]
    if limit is not None:
        top = y_axis["range"][1]
        # Shapes on a logarithmic axis take values, the range of the axis takes their logarithms.
        shapes.append(_band(-100 * limit if by_accuracy else limit, top if by_accuracy else 10**top))
    return {
        "kind": "pareto",
        "data": [*([front] if (front := _front(points, by_accuracy=by_accuracy)) else []), *data],
        "layout": {"xaxis": _speed_axis(points), "yaxis": y_axis, "shapes": shapes, "showlegend": False},
        "alt": "; ".join(f"{printable(point.row.variant)} {_place_text(point, by_accuracy)}" for point in points),
        "caption": _pareto_caption(section, limit, by_accuracy=by_accuracy),
    }


def _point(row: Row, *, by_accuracy: bool) -> _Point | None:
    record = row.record
    speed = speed_up(row)
    x = 1.0 if record.is_reference and record.statistics is not None else speed.value
    interval = None if record.is_reference else speed.interval
    if x is None:
        return None
    x_low, x_high = (interval.low, interval.high) if interval is not None else (x, x)
    if by_accuracy:
        if record.accuracy is None:
            return None
        y, y_low, y_high = (0.0, 0.0, 0.0) if record.is_reference else _accuracy_change(record.accuracy)
    else:
        error = worst(record.fidelity.outputs, "relative_error") if record.fidelity is not None else None
        if error is None:
            return None
        y = y_low = y_high = max(error, _LEAST_ERROR)
    return _Point(row=row, x=x, x_low=x_low, x_high=x_high, y=y, y_low=y_low, y_high=y_high)


def _pareto_trace(point: _Point, slot: int, largest: int, place: int, *, by_accuracy: bool) -> Figure:
    row = point.row
    symbol = _SYMBOLS[slot] if row.is_ok else f"{_SYMBOLS[slot]}-open"
    label = plain(row.variant) if row.is_ok else f"{plain(row.variant)} ({row.standing})"
    return {
        "type": "scatter",
        "mode": "markers+text",
        "slot": slot,
        "x": [point.x],
        "y": [point.y],
        "text": [label],
        "textposition": "top center" if place % 2 == 0 else "bottom center",
        "cliponaxis": False,
        "error_x": _error_bar(point.x, point.x_low, point.x_high),
        "error_y": _error_bar(point.y, point.y_low, point.y_high) if by_accuracy else {"visible": False},
        "marker": {
            "symbol": symbol,
            "size": [row.record.costs.artifact_size_bytes or 0],
            "sizemode": "area",
            "sizeref": 2 * max(largest, 1) / _LARGEST_MARKER_PX**2,
            "sizemin": 5,
            "line": {"width": 1 if row.is_ok else 2.5},
        },
        "customdata": [_hover(row)],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _error_bar(value: float, low: float, high: float) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - value)],
        "arrayminus": [max(0.0, value - low)],
        "thickness": 1.5,
        "width": 4,
    }


def _hover(row: Row) -> str:
    lines = [
        f"<b>{plain(row.variant)}</b> {row.standing}",
        f"{p50_text(row)}, time ratio {ratio_text(row)}",
        f"{fidelity_text(row)}, {format_bytes(row.record.costs.artifact_size_bytes)}",
    ]
    return "<br>".join(lines)


def _front(points: Sequence[_Point], *, by_accuracy: bool) -> Figure | None:
    """The staircase of variants that no other beats in both: from fastest to most faithful."""
    front: list[_Point] = []
    for point in sorted((point for point in points if point.row.is_ok), key=lambda point: -point.x):
        best = front[-1].y if front else None
        if best is None or (point.y > best if by_accuracy else point.y < best):
            front.append(point)
    if len(front) < 2:
        return None
    return {
        "type": "scatter",
        "mode": "lines",
        "slot": -1,
        "x": [point.x for point in front],
        "y": [point.y for point in front],
        "line": {"dash": "dot", "width": 1},
        "hoverinfo": "skip",
    }


def _speed_axis(points: Sequence[_Point]) -> Figure:
    low, high = min(point.x_low for point in points), max(point.x_high for point in points)
    axis: Figure = {"title": {"text": "speed-up, times as fast as the reference"}}
    if high / low > 5:
        span = math.log10(high / low)
        ticks = _one_two_five(low / 2, high * 2)
        return axis | {
            "type": "log",
            "range": [math.log10(low) - 0.15 * span, math.log10(high) + 0.15 * span],
            "tickvals": ticks,
            "ticktext": [f"{tick:g}x" for tick in ticks],
        }
    span = max(high - low, 0.1)
    return axis | {"range": [low - 0.2 * span, high + 0.2 * span], "ticksuffix": "x"}


def _accuracy_axis(points: Sequence[_Point], limit: float | None) -> Figure:
    low = min([point.y_low for point in points] + ([-100 * limit] if limit is not None else []))
    high = max(point.y_high for point in points)
    span = max(high - low, 0.5)
    return {"title": {"text": "accuracy change, points"}, "range": [low - 0.2 * span, high + 0.2 * span]}


def _error_axis() -> Figure:
    powers = range(-8, 2, 2)
    return {
        "title": {"text": "relative error (up is better)"},
        "type": "log",
        "range": [0.6, math.log10(_LEAST_ERROR) - 0.8],
        "tickvals": [10.0**power for power in powers],
        "ticktext": ["none" if power == -8 else f"{10.0**power:g}" for power in powers],
    }


def _limit(section: Section, *, by_accuracy: bool) -> float | None:
    """The widest tolerance of the kind that the axis shows."""
    tolerances = [row.tolerance for row in section.rows if row.tolerance is not None]
    limits = [tolerance.accuracy_loss_ratio if by_accuracy else tolerance.relative_error for tolerance in tolerances]
    return max((limit for limit in limits if limit is not None), default=None)


def _band(y0: float, y1: float) -> Figure:
    return {
        "type": "rect", "name": "band", "layer": "below", "line": {"width": 0},
        "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": y0, "y1": y1,
    }  # fmt: skip


def _place_text(point: _Point, by_accuracy: bool) -> str:  # noqa: FBT001  a private pair of arguments
    loss = f"{format_points(point.y / 100)} points" if by_accuracy else fidelity_text(point.row)
    return f"{format_ratio(point.x)} as fast, {loss}, {point.row.standing}"


def _pareto_caption(section: Section, limit: float | None, *, by_accuracy: bool) -> str:
    parts = []
    if limit is not None:
        amount = f"an accuracy loss of {100 * limit:g} points" if by_accuracy else f"a relative error of {limit:g}"
        parts.append(f"Shaded: tolerated, up to {amount}.")
    others = [
        row.variant
        for row in section.rows
        if not by_accuracy and row.tolerance is not None and row.tolerance.relative_error is None
    ]
    if others:
        parts.append(f"Judged by another measure: {printable(', '.join(others))}.")
    if any(not row.is_ok for row in section.rows):
        parts.append("Hollow: not ok, never ranked.")
    return " ".join(parts)


def tails(curves: Sequence[tuple[Row, TailCurve]], slots: Mapping[str, int]) -> Figure:
    """Latency by percentile, one line per variant, on an axis that gives each further nine the same room."""
    lowest = min(min(curve.latencies_ms) for _, curve in curves)
    highest = max(max(curve.latencies_ms) for _, curve in curves)
    ticks = _one_two_five(lowest, highest)
    span = max(math.log10(highest / lowest), 0.1)
    top = max(curve.nines[-1] for _, curve in curves)
    marks = {text: nines for text, nines in _TAIL_TICKS.items() if nines <= top + 0.3}
    return {
        "kind": "tails",
        "data": [_tail_trace(row, curve, slots[row.variant]) for row, curve in curves],
        "layout": {
            "xaxis": {
                "type": "log",
                "title": {"text": "latency of one call"},
                "range": [math.log10(lowest) - 0.05 * span, math.log10(highest) + 0.05 * span],
                "tickvals": ticks,
                "ticktext": [format_ms(tick) for tick in ticks],
            },
            "yaxis": {
                "title": {"text": "percentile of calls"},
                "range": [-0.05, top + 0.15],
                "tickvals": list(marks.values()),
                "ticktext": list(marks),
            },
            "showlegend": True,
        },
        "alt": "; ".join(
            f"{printable(row.variant)}: fastest {format_ms(curve.latencies_ms[0])}, "
            f"p{curve.end_percent:g} {format_ms(curve.latencies_ms[-1])}"
            for row, curve in curves
        ),
        "caption": "",
    }


def _tail_trace(row: Row, curve: TailCurve, slot: int) -> Figure:
    name = plain(row.variant) if row.is_ok else f"{plain(row.variant)} ({row.standing})"
    percents = [100 * (1 - 10**-nines) for nines in curve.nines]
    return {
        "type": "scatter",
        "mode": "lines",
        "slot": slot,
        "name": name,
        "x": list(curve.latencies_ms),
        "y": list(curve.nines),
        "line": {"dash": _DASHES[slot], "width": 2},
        "customdata": [
            f"{name}<br>p{percent:.4g} {format_ms(latency)}"
            for percent, latency in zip(percents, curve.latencies_ms, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _one_two_five(low: float, high: float) -> list[float]:
    """Round numbers between the two, at most about eight: 1-2-5 steps, or powers of ten where the span is wide."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    span = math.log10(high / low)
    steps = (
        (1.0,) if span > 2.5 else (1.0, 2.0, 5.0) if span > 0.5 else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
    )
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]


def plain(text: str) -> str:
    """Foreign text for plotly.js, which reads tags, entities and formulas between dollars in every string it draws."""
    return html.escape(printable(text, most_chars=40), quote=False).replace("$", "&#36;")
