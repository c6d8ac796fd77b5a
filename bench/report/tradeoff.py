"""The figure that decides: what a variant costs in answers against how many times as fast it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.core.results import Interval
from bench.core.units import format_bytes, format_points, format_ratio

from .figures import Figure, one_two_five, plain
from .reading import Section
from .row import Row, accuracy_change, speed_up, worst
from .words import closeness_text, fidelity_text, p50_text, printable, ratio_text

Measure = Literal["accuracy", "cosine", "relative_error"]

#: Stands for "none" on a logarithmic axis: single precision cannot tell less.
_LEAST_LOSS = 1e-7
_LARGEST_MARKER_PX = 28.0
_SMALLEST_MARKER_PX = 9.0
_LABEL_CHARS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    """Speed-up and points of accuracy, or loss of cosine; `is_beyond` is drawn at the lower edge."""

    row: Row
    x: float
    x_reach: Interval | None
    y: float
    y_reach: Interval | None
    is_beyond: bool = False


def tradeoff(section: Section) -> Figure | None:
    """The figure of one model, with a label at every marker; None when fewer than two cells can be placed."""
    measure = _measure(section)
    found = [(row, _point(row, measure)) for row in section.rows]
    points = [point for _, point in found if point is not None]
    if measure is None or len(points) < 2:
        return None
    limit = _limit(section, measure)
    y_axis = _accuracy_axis(points, limit) if measure == "accuracy" else _loss_axis(points, limit, measure)
    if measure == "accuracy":
        points = [_within(point, y_axis["range"][0]) for point in points]
    # What is drawn later lies above: small markers on large ones, and what is to be shipped on top.
    points.sort(key=lambda point: (point.row is section.best, -(point.row.size_bytes or 0)))
    largest_bytes = max(point.row.size_bytes or 0 for point in points)
    front = _front(points, measure)
    return {
        "kind": "tradeoff",
        "data": [*([front] if front else []), *(_trace(section, point, largest_bytes) for point in points)],
        "labels": [_label(section, point) for point in points],
        "layout": {
            "xaxis": _speed_axis(points),
            "yaxis": y_axis,
            "shapes": _shapes(y_axis, limit, measure),
            "showlegend": False,
        },
        "alt": "; ".join(f"{printable(point.row.variant)} {_place_text(point, measure)}" for point in points),
        "caption": _caption(limit, measure, [row for row, point in found if point is None]),
    }


def _measure(section: Section) -> Measure | None:
    """Accuracy where samples are labelled, else the first measure that some variant has."""
    if section.has_labels:
        return "accuracy"
    outputs = [
        row.record.fidelity.outputs for row in section.rows if row.record.fidelity and row is not section.reference
    ]
    for measure in ("cosine", "relative_error"):
        if any(worst(each, measure) is not None for each in outputs):
            return measure
    return None


def _point(row: Row, measure: Measure | None) -> _Point | None:
    record = row.record
    is_reference = record.is_reference and record.statistics is not None
    speed = speed_up(row)
    x = 1.0 if is_reference else speed.value
    if x is None or measure is None:
        return None
    x_reach = None if is_reference else speed.interval
    if measure == "accuracy":
        if record.accuracy is None:
            return None
        change = accuracy_change(record.accuracy)
        reach = change.interval
        if is_reference or reach is None:
            return _Point(row=row, x=x, x_reach=x_reach, y=0.0, y_reach=None)
        reach = replace(reach, low=100 * reach.low, high=100 * reach.high)
        return _Point(row=row, x=x, x_reach=x_reach, y=100 * (change.value or 0.0), y_reach=reach)
    value = worst(record.fidelity.outputs, measure) if record.fidelity is not None else None
    if is_reference:
        value = 1.0 if measure == "cosine" else 0.0
    if value is None:
        return None
    loss = 1 - value if measure == "cosine" else value
    return _Point(row=row, x=x, x_reach=x_reach, y=max(loss, _LEAST_LOSS), y_reach=None)


def _within(point: _Point, bottom: float) -> _Point:
    """What lost so much that the others would shrink to a line is drawn at the lower edge, and says how much."""
    return point if point.y > bottom else replace(point, y=bottom, y_reach=None, is_beyond=True)


def _role(section: Section, row: Row) -> str:
    """The name of a colour of the page."""
    if not row.is_ok:
        return "bad"
    return "good" if row is section.best else "ink" if row.record.is_reference else "c1"


def _trace(section: Section, point: _Point, largest_bytes: int) -> Figure:
    row = point.row
    symbol = "triangle-down" if point.is_beyond else "square" if row.record.is_reference else "circle"
    return {
        "type": "scatter",
        "mode": "markers",
        "role": _role(section, row),
        "x": [point.x],
        "y": [point.y],
        "cliponaxis": False,
        "error_x": _error_bar(point.x, point.x_reach),
        "error_y": _error_bar(point.y, point.y_reach),
        "marker": {
            "symbol": symbol if row.is_ok else f"{symbol}-open",
            "size": _diameter_px(row, largest_bytes),
            "line": {"width": 1 if row.is_ok else 2.5},
            "opacity": 1 if row is section.best else 0.75,
        },
        "customdata": [_hover(row)],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _diameter_px(row: Row, largest_bytes: int) -> float:
    """So that the area is the size of the file."""
    share = (row.size_bytes or 0) / max(largest_bytes, 1)
    return round(max(_SMALLEST_MARKER_PX, _LARGEST_MARKER_PX * math.sqrt(share)), 1)


def _label(section: Section, point: _Point) -> Figure:
    """What is written beside a marker; `rank` says who chooses a place first."""
    row = point.row
    words = plain(row.variant)
    if row is section.best:
        return {"text": f"{words}: ship", "rank": 0}
    if row.record.is_reference:
        return {"text": f"{words}: {row.standing}", "rank": 1}
    if row.is_ok:
        return {"text": words, "rank": 2}
    change = row.record.accuracy if point.is_beyond else None
    lost = "" if change is None else f", {format_points(accuracy_change(change).value or 0.0)} points"
    return {"text": f"{words} ({row.standing}{lost})", "rank": 3}


def _error_bar(value: float, reach: Interval | None) -> Figure:
    if reach is None:
        return {"visible": False}
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, reach.high - value)],
        "arrayminus": [max(0.0, value - reach.low)],
        "thickness": 1,
        "width": 3,
    }


def _hover(row: Row) -> str:
    lines = [
        f"{plain(row.variant)}: {row.standing}",
        f"{p50_text(row)}, time ratio {ratio_text(row)}",
        f"{fidelity_text(row)}, {format_bytes(row.size_bytes)}",
    ]
    return "<br>".join(lines)


def _front(points: Sequence[_Point], measure: Measure) -> Figure | None:
    """The line through the variants that no other beats in both: from fastest to most faithful."""
    front: list[_Point] = []
    for point in sorted((point for point in points if point.row.is_ok), key=lambda point: -point.x):
        best = front[-1].y if front else None
        if best is None or (point.y > best if measure == "accuracy" else point.y < best):
            front.append(point)
    if len(front) < 2:
        return None
    return {
        "type": "scatter",
        "mode": "lines",
        "role": "muted",
        "x": [point.x for point in front],
        "y": [point.y for point in front],
        "line": {"dash": "dot", "width": 1},
        "hoverinfo": "skip",
    }


def _speed_axis(points: Sequence[_Point]) -> Figure:
    low = min(point.x_reach.low if point.x_reach else point.x for point in points)
    high = max(point.x_reach.high if point.x_reach else point.x for point in points)
    span = max(math.log10(high / low), 0.08)
    bounds = math.log10(low) - 0.25 * span, math.log10(high) + 0.3 * span
    ticks = one_two_five(10 ** bounds[0], 10 ** bounds[1])
    return {
        "title": {"text": "times as fast as the reference (right is faster)"},
        "type": "log",
        "range": list(bounds),
        "tickvals": ticks,
        "ticktext": [f"{tick:g}x" for tick in ticks],
    }


def _accuracy_axis(points: Sequence[_Point], limit: float | None) -> Figure:
    """As far down as what is ok and what is tolerated reach: an invalid variant may lie far below."""
    sound = [point for point in points if point.row.is_ok]
    lows = [point.y_reach.low if point.y_reach else point.y for point in sound]
    low = min([*lows, *([-100 * limit] if limit is not None else []), 0.0])
    high = max([point.y_reach.high if point.y_reach else point.y for point in sound] + [0.0])
    span = max(high - low, 0.5)
    return {
        "title": {"text": "accuracy, points against the reference"},
        "range": [low - 0.35 * span, high + 0.2 * span],
        "tickformat": "+~g",
    }


def _loss_axis(points: Sequence[_Point], limit: float | None, measure: Measure) -> Figure:
    losses = [*(point.y for point in points), *([limit] if limit else [])]
    low, high = math.log10(min(losses)) - 0.9, math.log10(max(losses)) + 0.6
    step = 2 if high - low > 5 else 1
    least = round(math.log10(_LEAST_LOSS))
    powers = [power for power in range(least, 3, step) if low <= power <= high]
    title = "1 - cosine with the reference" if measure == "cosine" else "relative error"
    return {
        "title": {"text": f"{title} (up is closer)"},
        "type": "log",
        "range": [high, low],
        "tickvals": [10.0**power for power in powers],
        "ticktext": ["none" if power == least else _power_text(power) for power in powers],
    }


def _power_text(power: int) -> str:
    return f"{10.0**power:g}" if power > -4 else f"1e{power}"


def _limit(section: Section, measure: Measure) -> float | None:
    """The widest tolerance of the kind that the axis shows, as a loss."""
    limits = []
    for tolerance in (row.tolerance for row in section.rows if row.tolerance is not None):
        if measure == "accuracy":
            limits.append(tolerance.accuracy_loss_ratio)
        elif measure == "cosine":
            limits.append(None if tolerance.cosine is None else 1 - tolerance.cosine)
        else:
            limits.append(tolerance.relative_error)
    return max((limit for limit in limits if limit is not None), default=None)


def _shapes(y_axis: Figure, limit: float | None, measure: Measure) -> list[Figure]:
    same_speed = {"type": "line", "name": "rule", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1}
    if limit is None:
        return [same_speed]
    top = y_axis["range"][1]
    # Shapes on a logarithmic axis take values, the range of the axis takes their logarithms.
    low, high = (-100 * limit, top) if measure == "accuracy" else (limit, 10**top)
    band = {
        "type": "rect", "name": "band", "layer": "below", "line": {"width": 0},
        "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": low, "y1": high,
    }  # fmt: skip
    return [same_speed, band]


def _place_text(point: _Point, measure: Measure) -> str:
    accuracy = point.row.record.accuracy
    if measure == "accuracy" and accuracy is not None:
        loss = f"{format_points(accuracy_change(accuracy).value or 0.0)} points"
    else:
        loss = closeness_text(point.row) if measure == "cosine" else fidelity_text(point.row)
    return f"{format_ratio(point.x)} as fast, {loss}, {point.row.standing}"


def _caption(limit: float | None, measure: Measure, missing: Sequence[Row]) -> str:
    parts = []
    if limit is not None:
        amounts = {
            "accuracy": f"a loss of {100 * limit:g} points",
            "cosine": f"a cosine of {1 - limit:g}",
            "relative_error": f"a relative error of {limit:g}",
        }
        parts.append(f"Shaded: tolerated, down to {amounts[measure]}.")
    if missing:
        names = ", ".join(f"{row.variant} ({row.standing})" for row in missing)
        parts.append(f"Not placed, for want of a time or an answer: {printable(names)}.")
    return " ".join(parts)
