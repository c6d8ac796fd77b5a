"""`bench explain`: why one cell is slower or faster than another, or where its numbers leave the reference's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.cli.cells import Together, add_cell_source_arguments, alone, chosen_cells
from bench.cli.streams import printable
from bench.core.units import format_ms, format_percent

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.core.record import Record
    from bench.explain.divergence import Divergence
    from bench.explain.speed import Explanation, OperatorTime

_PLAIN_WIDTH_CHARS = 140
_OPERATORS_SHOWN = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which cells, and what about them."""
    parser.add_argument(
        "cells",
        nargs="+",
        metavar="CELL",
        help="[MODEL] [A] B: variants, or cells of a run by id or model.variant; MODEL is a zoo name, model file or "
        "matrix; without A, B is held against its reference",
    )
    parser.add_argument("--numerics", action="store_true", help="find the first tensor where B leaves the tolerance")
    add_cell_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of sentences and tables")


def execute(words: argparse.Namespace) -> int:
    """Explain, print the answer, and keep it beside the run where there is one."""
    from bench import records
    from bench.core.errors import MatrixError

    chosen = chosen_cells(words, words.cells)
    if len(chosen.cells) > 2:
        raise MatrixError(f"explain takes one or two cells, not {len(chosen.cells)}", hint="bench explain MODEL A B")
    a, b = chosen.cells if len(chosen.cells) > 1 else (chosen.reference, chosen.cells[0])
    if a is None:
        raise MatrixError(f"the reference of {b.id} was not recorded in this run", hint="name two cells: A B")
    if a.id == b.id:
        raise MatrixError(f"{a.variant.name} is what it would be compared with", hint="name two cells: A B")
    with alone(words, chosen, "bench explain"):
        found = _divergence(chosen, a, b) if words.numerics else _explanation(chosen, a, b)
        _show(found, as_json=words.json)  # first: whatever becomes of the file, the answer has been seen
        if chosen.run_dir is not None:
            answers: records.Answers = "divergences" if words.numerics else "explanations"
            kept = records.write_explanation(chosen.run_dir, answers, a.id, b.id, found)
            if not words.json:
                print(f"kept: {kept}")
    return 0


def _explanation(chosen: Together, a: Cell, b: Cell) -> Explanation:
    from bench import runner
    from bench.cli.progress import Progress

    timed_ms, timed_by = _timed(chosen, (a, b))
    with Progress(sys.stderr) as progress:
        return runner.explain_cells(chosen.matrix, a, b, progress, timed_ms=timed_ms, timed_by=timed_by)


def _divergence(chosen: Together, a: Cell, b: Cell) -> Divergence:
    from bench import runner
    from bench.cli.progress import Progress

    with Progress(sys.stderr) as progress:
        return runner.find_divergence(chosen.matrix, b, a, progress)


def _timed(chosen: Together, cells: Sequence[Cell]) -> tuple[dict[str, float] | None, str]:
    """The medians that a run recorded and its name; None and why, unless it has both and has measured them here.

    A ratio takes times of one occasion, and times of another machine or version do not go with profiles of this one.
    """
    from bench import runner

    if chosen.run_dir is None:
        return None, ""
    name = f"run {chosen.run_dir.name}"
    medians_ms = {cell.id: _median_ms(chosen.records.get(cell.id)) for cell in cells}
    timed_ms = {cell_id: ms for cell_id, ms in medians_ms.items() if ms is not None}
    if len(timed_ms) < len(medians_ms):
        return None, f"for {name} has not timed both"
    here = runner.environment_id(chosen.run_dir.parent)
    if {chosen.records[cell.id].environment_id for cell in cells} != {here}:
        return None, f"for {name} timed them in another environment: other machine, versions or settings"
    return timed_ms, name


def _median_ms(record: Record | None) -> float | None:
    return record.statistics.p50_ms.value if record is not None and record.statistics is not None else None


def _show(found: Explanation | Divergence, *, as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from bench.explain.speed import Explanation

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for sentence in found.words:
        print(printable(sentence))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH_CHARS)
    print()
    console.print(_kinds_table(found) if isinstance(found, Explanation) else _tensors_table(found))


def _kinds_table(found: Explanation) -> Any:
    table = _table(
        "kind of work", found.a.variant, found.b.variant, "difference", "of the gap",
        f"operators of {found.a.variant}", f"operators of {found.b.variant}",
    )  # fmt: skip
    for kind in found.kinds:
        _add_row(
            table,
            kind.kind,
            _signed_ms(kind.a_ms),
            _signed_ms(kind.b_ms),
            _signed_ms(kind.delta_ms, plus="+"),
            "" if kind.gap_ratio is None else format_percent(kind.gap_ratio),
            _operators(kind.a_operators),
            _operators(kind.b_operators),
        )
    table.add_section()
    _add_row(
        table, "timed call", format_ms(found.a.wall_ms), format_ms(found.b.wall_ms), _signed_ms(found.gap_ms, plus="+")
    )
    if found.coverage_ratio is not None:
        table.caption = f"coverage {format_percent(found.coverage_ratio)} = {found.coverage_formula}"
    return table


def _signed_ms(value_ms: float, *, plus: str = "") -> str:
    if value_ms == 0:
        return "–"
    return f"{'-' if value_ms < 0 else plus}{format_ms(abs(value_ms))}"


def _operators(operators: Iterable[OperatorTime]) -> str:
    listed = list(operators)
    shown = [f"{time.count:.3g} {time.operator} {format_ms(time.ms)}" for time in listed[:_OPERATORS_SHOWN]]
    rest = len(listed) - len(shown)
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _tensors_table(found: Divergence) -> Any:
    table = _table("worst tensors", "made by", "node", "relative error", "cosine", "outside")
    for error in found.worst:
        _add_row(
            table,
            error.tensor,
            error.operator,
            error.node,
            "" if error.relative_error is None else f"{error.relative_error:.3g}",
            "" if error.cosine is None else f"{error.cosine:.5f}",
            "yes" if error.problem else "",
        )
    table.caption = f"tolerance: {found.tolerance}; {found.batches} batches of inputs"
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    return table


def _add_row(table: Any, *cells: str) -> None:
    """As plain text: names of operators and tensors come from the user's file, and are no markup."""
    from rich.text import Text

    table.add_row(*(Text(printable(cell)) for cell in cells))
