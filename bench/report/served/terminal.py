"""The part of the table that is about servers: what each holds, what it costs, and where its time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.report.console import fitting, grid, line
from bench.report.words import NOT_RUN, printable

from .headline import headlines
from .row import ServedRow
from .section import ServedSection
from .words import NUMBERS, attribution_cells, attribution_columns, cells, columns, in_process_cells

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_NAME_CHARS = 60


def served_blocks(section: ServedSection, width: int) -> Iterator[RenderableType]:
    """What to take of a model's topologies, and the tables behind it."""
    from rich.text import Text

    title = Text(printable(section.model), style="bold")
    loads = "" if section.has_several_loads else f", {section.rows[0].load}"
    title.append(f"  behind a server, {printable(section.settings)}{printable(loads)}", style="dim not bold")
    yield title
    yield fitting(lambda gap: _table(section, gap), width)
    yield ""
    if attribution_columns(section):
        yield line("where the mean request spends its time, ms", style="dim")
        yield fitting(lambda gap: _attribution(section, gap), width)
        yield ""
    for said in headlines(section):
        yield line(
            f"{printable(section.label)}, {printable(said.sentence)}", style="bold green" if said.is_decided else "bold"
        )
        for also in said.also:
            yield line(printable(also), indent=2)
    yield ""


def _table(section: ServedSection, gap: int) -> Table:
    names = columns(section)
    rows = [(_texts(in_process_cells(row), names), "dim") for row in section.in_process]
    rows += [(_texts(cells(section, row), names, _verdict_style(row)), _style(section, row)) for row in section.rows]
    return grid(names, rows, numbers=NUMBERS, gap=gap)


def _attribution(section: ServedSection, gap: int) -> Table:
    names = attribution_columns(section)
    rows = []
    for row in section.rows:
        if row.served.attribution is not None:
            found = {"topology": section.short(row)} | attribution_cells(row.served.attribution)
            found["topology"] += "" if row.ranked is not None else f" ({row.standing})"
            rows.append((_texts(found, ("topology", *names)), "" if row.ranked is not None else "dim"))
    return grid(("topology", *names), rows, numbers=names, gap=gap)


def _texts(found: dict[str, str], names: Sequence[str], verdict_style: str = "") -> list[Text]:
    from rich.text import Text

    return [
        Text(printable(found[name], most_chars=_NAME_CHARS), style=verdict_style if name == "verdict" else "")
        for name in names
    ]


def _style(section: ServedSection, row: ServedRow) -> str:
    return "bold" if section.is_taken(row) else "" if row.is_ok else "dim"


def _verdict_style(row: ServedRow) -> str:
    if row.is_ok:
        return "green" if row.keeps_objective else "yellow" if row.keeps_objective is False else ""
    return "" if row.record.outcome.status in NOT_RUN else "bold red"
