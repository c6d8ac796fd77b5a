"""What the HTML page shows of served cells: per model its sentences, figures, table, and the details of each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.report.figures import Figure
from bench.report.row import Row

from .bars import layer_bars
from .curves import load_curves
from .details import Details, details
from .headline import ServedHeadline, headlines
from .row import ServedRow
from .section import ServedSection
from .words import attribution_cells, attribution_columns, cells, columns, in_process_cells

Numbered = tuple[ServedSection, Figure, int]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the table: texts by column, and what it is sorted by; `row` is a `ServedRow` where it is served."""

    row: Row
    texts: Mapping[str, str]
    keys: Mapping[str, float | str]
    is_best: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model behind its servers."""

    section: ServedSection
    said: tuple[ServedHeadline, ...]
    figures: tuple[Numbered, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    layer_columns: tuple[str, ...]
    layers: tuple[Line, ...]
    details: tuple[Details, ...]

    @property
    def is_decided(self) -> bool:
        """Whether a topology was chosen under some load."""
        return any(said.is_decided for said in self.said)


def entry(section: ServedSection, slots: Mapping[str, int], number: Callable[[Figure], int]) -> Entry:
    """What to show of a section; `number` takes a figure into the page and tells its place."""
    drawn = [each for rows in section.parts for each in (load_curves(section, rows, slots), layer_bars(section, rows))]
    figures = [figure for figure in drawn if figure is not None]
    return Entry(
        section=section,
        said=headlines(section),
        figures=tuple((section, figure, number(figure)) for figure in figures),
        columns=columns(section),
        lines=tuple(_lines(section)),
        layer_columns=attribution_columns(section),
        layers=tuple(
            Line(row=row, texts=attribution_cells(row.served.attribution), keys={})
            for row in section.rows
            if row.served.attribution is not None
        ),
        details=tuple(details(section, row) for row in section.rows if row.record.served is not None),
    )


def _lines(section: ServedSection) -> Sequence[Line]:
    beside = [Line(row=row, texts=in_process_cells(row), keys={"topology": "in process"}) for row in section.in_process]
    return [
        *beside,
        *(
            Line(row=row, texts=cells(section, row), keys=_keys(row), is_best=section.is_taken(row))
            for row in section.rows
        ),
    ]


def _keys(row: ServedRow) -> dict[str, float | str]:
    """What is not ok has no number to be sorted by: it stays below."""
    words: dict[str, float | str] = {
        "topology": row.topology, "variant": row.variant, "load": row.load, "verdict": row.standing
    }  # fmt: skip
    point, served = row.ranked, row.served
    if point is None:
        return words
    found = {
        "rate": point.offered_per_s,
        "p50": point.p50_ms.value,
        "p99": point.p99_ms.value,
        "in time": point.goodput_ratio.value,
        "alone": served.zero_load.p50_ms.value if served.zero_load is not None else None,
        "server costs": served.server_cost_ms.value,
        "most": served.x_max_per_s,
        "in objective": served.search.confirmed_per_s if served.search is not None else None,
        "CPU": point.server_cpu_us_per_request,
        "memory": served.server_memory_bytes,
    }
    return words | {name: value for name, value in found.items() if value is not None}
