"""`bench inspect`: what is in a model file, alone or beside another."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.streams import printable
from bench.core.errors import MatrixError, RefusedError
from bench.core.units import format_bytes

if TYPE_CHECKING:
    from rich.table import Table

    from bench.core.cell import ModelRef
    from bench.inspect import Contrast, Inspection, Weights

_PLAIN_WIDTH_CHARS = 120
_SHOWN_OPERATORS = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and how they are shown."""
    parser.add_argument("file", help="model file or directory, file.py:function, or zoo name")
    parser.add_argument("--format", default="", help="of a zoo model: the format to build (the first that it offers)")
    parser.add_argument("--diff", default="", metavar="OTHER", help="show what is different in another model")
    parser.add_argument(
        "--tensorboard", default=None, type=Path, metavar="DIR", help="write the graph there for TensorBoard"
    )
    parser.add_argument("--trust", action="append", default=[], metavar="PATH", help="a model file that may run code")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def execute(words: argparse.Namespace) -> int:
    """Open each file in a child, and print what was found."""
    from bench.inspect import differences
    from bench.matrix.locations import require_utf8
    from bench.runner import Silent
    from bench.runner.inspecting import inspect

    if words.tensorboard is not None:
        require_utf8(str(words.tensorboard))
    models = [_model(name, words) for name in filter(None, (words.file, words.diff))]
    first = inspect(models[0], Silent(), events_dir=words.tensorboard)
    if words.diff:
        second = inspect(models[1], Silent())
        _show_difference(first, second, differences(first, second), as_json=words.json)
    else:
        _show(first, as_json=words.json)
    if words.tensorboard is not None:
        command = f"tensorboard --logdir {words.tensorboard} --host 127.0.0.1"
        print(printable(f"to see the graph: {command}"), file=sys.stderr if words.json else sys.stdout)
    return 0


def _model(name: str, words: argparse.Namespace) -> ModelRef:
    """A file goes before a zoo model of its name. RefusedError for a format that is code without the user's word."""
    from bench.core import plugins
    from bench.core.cell import ModelRef
    from bench.core.trust import CODE_FORMATS
    from bench.formats.detect import detect_format
    from bench.matrix.locations import absolute, is_trusted, require_utf8

    require_utf8(name)
    known = plugins.table("models")
    if name in known and not Path(name).exists():
        offered = known[name].accepts
        format = words.format or offered[0]
        if format not in offered:
            raise MatrixError(f"{name} is not offered as {format!r}", hint=f"choose from {', '.join(offered)}")
        return ModelRef(name=name, kind="zoo", location=name, format=format)
    format = detect_format(name)
    here = Path.cwd()
    location = absolute(name, here)  # the child works in a directory of its own
    trusted = is_trusted(location, format, frozenset(absolute(path, here) for path in words.trust))
    if format in CODE_FORMATS and not trusted:
        raise RefusedError(
            f"{name}: the format {format} runs code when it is loaded",
            hint=f"if you wrote it or trust its author, say so: --trust {name}",
        )
    return ModelRef(name=name, kind="path", location=location, format=format, trusted=trusted)


def _show(found: Inspection, *, as_json: bool) -> None:
    if as_json:
        _print_json(_plain(found))
        return
    _print_table(["", found.location], _properties(found))
    operators = [[entry.operator, str(entry.nodes)] for entry in found.structure.operators[:_SHOWN_OPERATORS]]
    if operators:
        _print_table(["operator", found.structure.unit], operators)
    left_out = len(found.structure.operators) - len(operators)
    if left_out > 0:
        print(f"... and {left_out} more kinds (--json lists all)")


def _show_difference(first: Inspection, second: Inspection, rows: tuple[Contrast, ...], *, as_json: bool) -> None:
    import msgspec

    if as_json:
        contrasts = [msgspec.to_builtins(row) for row in rows]
        _print_json({"first": _plain(first), "second": _plain(second), "differences": contrasts})
        return
    if not rows:
        print(printable(f"no difference between {first.location} and {second.location}"))
        return
    shown = [[row.what, _side(row.what, row.first), _side(row.what, row.second)] for row in rows]
    _print_table(["differs", first.location, second.location], shown)


def _side(what: str, value: int | str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return format_bytes(value) if "bytes" in what else f"{value:,}"
    return value


def _plain(found: Inspection) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    structure = plain.pop("structure")
    counts = {"nodes": found.structure.nodes, "parameters": found.structure.parameters}
    structure["work"]["per"] = found.work_per
    return {**plain, **counts, **structure}


def _properties(found: Inspection) -> list[list[str]]:
    from bench.inspect.difference import tensor_text

    structure = found.structure
    rows = [["format", found.format], ["size", format_bytes(found.size_bytes)]]
    rows += [["input", f"{spec.name}: {tensor_text(spec)}"] for spec in found.inputs]
    rows += [["output", f"{spec.name}: {tensor_text(spec)}"] for spec in found.outputs]
    if structure.unread:
        rows.append(["inside", structure.unread])
    else:
        rows += [
            [structure.unit, f"{structure.nodes:,} of {len(structure.operators)} kinds"],
            ["parameters", f"{structure.parameters:,}"],
            *([f"weights {part.dtype}", _amount(part)] for part in structure.weights),
            ["work", _work(found)],
            ["on 8 bit", _on_8_bit(found)],
        ]
    return rows + [list(fact) for fact in structure.facts] + [["note", note] for note in found.notes]


def _amount(weights: Weights) -> str:
    return f"{format_bytes(weights.size_bytes)} in {weights.values:,} values"


def _on_8_bit(found: Inspection) -> str:
    structure = found.structure
    products = f"{structure.products_on_8_bit} of {structure.products} matrix products and convolutions"
    return f"{products}, {structure.nodes_on_8_bit} of {structure.nodes} {structure.unit}"


def _work(found: Inspection) -> str:
    work = found.structure.work
    if work.operations is None:
        return f"not known: {work.reason}"
    return f"{work.operations:,} per {found.work_per}: {work.basis}"


def _print_table(heads: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: Table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(Text(printable(head)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH_CHARS)
    console.print(table)
    console.print()


def _print_json(content: dict[str, Any]) -> None:
    import json

    print(json.dumps(content, indent=2))
