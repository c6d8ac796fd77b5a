"""The figure of where the mean request spends its time: a bar for each topology, of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.core.units import format_ms
from bench.report.figures import Figure, plain
from bench.report.words import printable

from .row import ServedRow
from .section import ServedSection
from .words import LAYERS, layers

_LAYER_ROLES = dict(zip(LAYERS, ("c0", "c1", "c2", "c5", "c3", "c4", "c7"), strict=True))
_HEAD_PX, _BAR_PX = 70, 46


def layer_bars(section: ServedSection, rows: Sequence[ServedRow]) -> Figure | None:
    """The mean request of each topology as a bar of its layers, in process above; None where nobody told them."""
    left_out, reference = _left_out(rows), _in_process_ms(rows)
    rows = [row for row in rows if row.ranked is not None and row.served.attribution is not None]
    found = [layers(row.served.attribution) for row in rows if row.served.attribution is not None]
    if not found:
        return None
    names = [*(["in process"] if reference else []), *(row.topology for row in rows)]
    first = len(names) - len(rows)
    known = [layer for layer in LAYERS if any(layer in each for each in found)]
    data = [_reference_bar(reference)] if reference else []
    data += [_bars(layer, found, names[first:], first) for layer in known]
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
            f"{printable(row.topology)}: " + ", ".join(f"{layer} {format_ms(value)}" for layer, value in each.items())
            for row, each in zip(rows, found, strict=True)
        ),
        "title": ", ".join(section.beside_topology(rows[0])),
        "legend": [(trace["role"], trace["name"]) for trace in data],
        "caption": f"Where the mean request spends its time under the cell's own load.{left_out}",
    }


def _in_process_ms(rows: Sequence[ServedRow]) -> float | None:
    """Median of a call without a server: of the variant's own cell, else what a served cell measured beside itself."""
    for row in rows:
        statistics = row.in_process.record.statistics if row.in_process is not None else None
        value = statistics.p50_ms.value if statistics is not None else row.served.in_process_p50_ms.value
        if value is not None:
            return value
    return None


def _reference_bar(value_ms: float) -> Figure:
    return {
        "type": "bar", "orientation": "h", "role": "ink", "name": "in process, p50", "width": 0.62,
        "x": [value_ms], "y": [0], "marker": {"line": {"width": 1}},
        "customdata": [f"in process<br>p50 {format_ms(value_ms)}"], "hovertemplate": "%{customdata}<extra></extra>",
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


def _left_out(rows: Sequence[ServedRow]) -> str:
    names = [
        f"{row.topology} ({row.standing})" for row in rows if row.ranked is None and row.served.attribution is not None
    ]
    return f" Left out, for their numbers are not the server's: {printable(', '.join(names))}." if names else ""
