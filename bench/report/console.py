"""Tables and lines of the terminal's view, as wide as they may be."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

#: Wider than any table: without a terminal nothing is wrapped.
UNBOUNDED_COLUMNS = 10_000


def line(text: str, *, indent: int = 0, style: str = "") -> RenderableType:
    """One line of text, wrapped where the terminal ends."""
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style=style), (0, 0, 0, indent), expand=False)


def fitting(table: Callable[[int], Table], width: int) -> Table:
    """The table with two blanks between its columns, or with one where that is too wide."""
    roomy = table(2)
    return roomy if _natural_width(roomy) <= width else table(1)


def grid(
    columns: Sequence[str], rows: Sequence[tuple[Sequence[Text], str]], *, numbers: Collection[str], gap: int
) -> Table:
    """A table without lines, its rows with a style each; `numbers` are set right, and no word is ever cut in two."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for place, column in enumerate(columns):
        texts = [column, *(cells[place].plain for cells, _ in rows)]
        longest = max(len(word) for text in texts for word in text.split())
        table.add_column(column, justify="right" if column in numbers else "left", min_width=longest)
    for cells, style in rows:
        table.add_row(*cells, style=style)
    return table


def _natural_width(table: Table) -> int:
    from rich.console import Console

    return Console(file=io.StringIO(), width=UNBOUNDED_COLUMNS).measure(table).maximum
