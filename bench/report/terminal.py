"""The final table for a terminal, and as plain text for a pipe or a file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from bench.core.units import format_bytes, format_seconds

from .console import UNBOUNDED_COLUMNS, fitting, grid, line
from .headline import Headline, headline
from .reading import Report, Section, merged_text, without_numbers
from .row import Row
from .served.terminal import served_blocks
from .served.words import method_text as served_method_text
from .words import (
    NOT_RUN,
    NOTHING,
    accuracy_text,
    affects_text,
    cells_text,
    fidelity_text,
    how_it_ended,
    made_text,
    method_text,
    p50_text,
    p99_text,
    printable,
    ratio_text,
    unfinished_text,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_NAME_CHARS = 40
#: The verdict of a cell that is not ok is its status.
_COLUMNS = (
    "variant", "verdict", "p50", "time ratio", "p99", "fidelity", "accuracy", "size", "memory", "load",
)  # fmt: skip
_NUMBERS = {"p50", "time ratio", "p99", "accuracy", "size", "memory", "load"}
_STYLES = {
    "faster": "green",
    "slower": "red",
    "inconclusive": "yellow",
    "invalid": "bold magenta",
    **dict.fromkeys(("failed", "crashed", "oom", "timeout"), "bold red"),
    **dict.fromkeys(("same", "reference", "not compared", *NOT_RUN), ""),
}
#: For an output that cannot show them.
_PLAIN = str.maketrans({"–": "-", "…": "...", "→": "->", "±": "+-"})


def render(report: Report, stream: IO[str]) -> str:
    """All text of the final table, fit for `stream`: its width, its colours, its encoding."""
    from rich.console import Console

    target = Console(file=stream)
    width = target.width if target.is_terminal else UNBOUNDED_COLUMNS
    written = io.StringIO()
    console = Console(
        file=written, force_terminal=target.is_terminal, width=width, markup=False, highlight=False, emoji=False
    )
    for block in _blocks(report, width):
        # On a narrow terminal a table runs over the edge: better than a number cut in two.
        console.print(block, crop=False)
    text = written.getvalue()
    if not target.is_terminal:  # cells are filled up with blanks, which a file need not keep
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    return _encodable(text, getattr(stream, "encoding", None) or "utf-8")


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
    return text


def _blocks(report: Report, width: int) -> Iterator[RenderableType]:
    said = [(section, headline(section)) for section in report.sections]
    if said:
        yield from _summary(said, width)
    for section in report.sections:
        yield from _section(section, width)
    for served in report.served:
        yield from served_blocks(served, width)
    yield from _notes(report)
    yield from _flags(report)
    yield from _not_ok(report)
    yield from _data(report)
    if report.sections:
        yield line(method_text(report), style="dim")
    if report.served:
        yield line(served_method_text(report.served[0].slo_ms), style="dim")


def _summary(said: Sequence[tuple[Section, Headline]], width: int) -> Iterator[RenderableType]:
    """What to take: a row for each model, then a sentence for each with what else is worth a look."""
    yield fitting(lambda gap: _summary_table(said, gap), width)
    yield ""
    for section, words in said:
        style = "bold green" if section.best is not None else "bold"
        yield line(f"{printable(section.label)}: {printable(words.sentence)}", style=style)
        for also in words.also:
            yield line(printable(also), indent=2)
    yield ""


def _summary_table(said: Sequence[tuple[Section, Headline]], gap: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    rows = [
        (section, [section.label, words.take, words.speed, words.size, words.memory, words.answers])
        for section, words in said
    ]
    for place, name in enumerate(("model", "take", "speed", "file", "memory", "accuracy, or closeness of outputs")):
        longest = max(len(word) for _, texts in rows for word in (*name.split(), *printable(texts[place]).split()))
        table.add_column(name, min_width=min(longest, _NAME_CHARS))
    for section, texts in rows:
        cells = [Text(printable(text)) for text in texts]
        cells[1].stylize("bold green" if section.best is not None else "bold")
        table.add_row(*cells)
    return table


def _section(section: Section, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    title = Text(printable(section.model), style="bold")
    title.append(f"  {printable(section.settings)}", style="dim not bold")
    yield title
    yield fitting(lambda gap: _table(section, gap), width)
    yield ""


def _table(section: Section, gap: int) -> Table:
    from rich.text import Text

    columns = [column for column in _COLUMNS if section.has_labels or column != "accuracy"]
    rows = []
    for row in section.rows:
        texts = _cells(section, row)
        cells = [Text(texts[column], style=_verdict_style(row) if column == "verdict" else "") for column in columns]
        rows.append((cells, "bold" if row is section.best else "" if row.is_ok else "dim"))
    return grid(columns, rows, numbers=_NUMBERS, gap=gap)


def _verdict_style(row: Row) -> str:
    return _STYLES[row.standing if row.is_ok else row.record.outcome.status]


def _cells(section: Section, row: Row) -> dict[str, str]:
    costs = row.record.costs
    return {
        "variant": printable(row.variant, most_chars=_NAME_CHARS),
        "verdict": f"{row.standing}, best" if row is section.best else row.standing,
        "p50": p50_text(row),
        "time ratio": ratio_text(row),
        "p99": p99_text(row),
        "fidelity": fidelity_text(row),
        "accuracy": accuracy_text(row.record.accuracy),
        "size": format_bytes(row.size_bytes),
        "memory": format_bytes(costs.peak_memory_bytes),
        "load": NOTHING if costs.load_s is None else format_seconds(costs.load_s),
    }


def _notes(report: Report) -> Iterator[RenderableType]:
    """What the steps say of the artifacts that they made, and topologies of themselves."""
    if not report.footnotes:
        return
    yield line("notes", style="bold")
    for note in report.footnotes:
        yield line(printable(note.text), indent=2)
        yield line(printable(cells_text(note)), indent=4, style="dim")
    yield ""


def _flags(report: Report) -> Iterator[RenderableType]:
    if not report.flag_notes:
        return
    yield line("flags", style="bold")
    for note in report.flag_notes:
        affects = f" (taints {printable(affects_text(note))})" if note.affects else ""
        yield line(f"{printable(note.name)}{affects}: {printable(note.text)}", indent=2)
        yield line(printable(cells_text(note)), indent=4, style="dim")
    yield ""


def _not_ok(report: Report) -> Iterator[RenderableType]:
    """First what broke, then what was never run; reasons that differ in their numbers only are told once."""
    for title, wanted in (("not ok", False), ("not run", True)):
        told: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for section, row in report.rows:
            outcome = row.record.outcome
            if not row.is_ok and (outcome.status in NOT_RUN) is wanted:
                reason = how_it_ended(outcome)
                same = told.setdefault((without_numbers(reason), outcome.hint), [])
                made = f" ({made_text(row)})" if wanted and row.record.artifact is not None else ""
                same.append((f"{section.label} {row.name}{made}", reason))
        if told:
            yield line(title, style="bold")
        for (_, hint), entries in told.items():
            names, reasons = zip(*entries, strict=True)
            yield line(f"{printable(', '.join(names))}: {printable(merged_text(reasons))}", indent=2)
            if hint:
                yield line(f"next: {printable(hint)}", indent=4, style="dim")
        if told:
            yield ""


def _data(report: Report) -> Iterator[RenderableType]:
    """What is missing of the data itself."""
    for damage in report.damages:
        yield line(f"damaged: {printable(str(damage))}", style="bold red")
    unfinished = unfinished_text(report)
    if unfinished:
        yield line(unfinished, style="bold")
