"""Figures as plain JSON in the shapes of plotly.js; colours are roles, which the page fills in for light and dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.units import format_ms

from .row import Row
from .tails import TailCurve
from .words import printable

Figure = dict[str, Any]

#: Colours of variants; they are told apart by dash, too.
SLOTS = 8
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "4px,2px", "8px,2px,2px,2px")
_TAIL_TICKS = {"fastest": 0.0, "p50": 0.30103, "p90": 1.0, "p99": 2.0, "p99.9": 3.0, "p99.99": 4.0}


def tails(curves: Sequence[tuple[Row, TailCurve]], slots: Mapping[str, int]) -> Figure:
    """Latency by percentile, one line per variant, on an axis that gives each further nine the same room.

    `slots`: cell id -> its place among its model's variants, which gives each a colour and dash of its own.
    """
    lowest = min(min(curve.latencies_ms) for _, curve in curves)
    highest = max(max(curve.latencies_ms) for _, curve in curves)
    ticks = one_two_five(lowest, highest)
    span = max(math.log10(highest / lowest), 0.1)
    top = max(curve.nines[-1] for _, curve in curves)
    marks = {text: nines for text, nines in _TAIL_TICKS.items() if nines <= top + 0.3}
    return {
        "kind": "tails",
        "data": [_tail_trace(row, curve, slots[row.record.cell_id]) for row, curve in curves],
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
        "slot": slot % SLOTS,
        "name": name,
        "x": list(curve.latencies_ms),
        "y": list(curve.nines),
        "line": {"dash": _DASHES[(slot + slot // SLOTS) % SLOTS], "width": 2},
        "customdata": [
            f"{name}<br>p{percent:.4g} {format_ms(latency)}"
            for percent, latency in zip(percents, curve.latencies_ms, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def one_two_five(low: float, high: float) -> list[float]:
    """Round numbers between the two, at most about eight: 1-2-5 steps, or powers of ten where the span is wide."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    span = math.log10(high / low)
    if span > 2.5:
        steps: tuple[float, ...] = (1.0,)
    elif span > 0.9:
        steps = (1.0, 2.0, 5.0)
    else:
        steps = (
            (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0) if span > 0.5 else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
        )
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]


def plain(text: str) -> str:
    """Foreign text for plotly.js, which reads tags, entities and formulas between dollars in every string it draws."""
    return html.escape(printable(text, most_chars=40), quote=False).replace("$", "&#36;")
