"""`bench profile`: where the time of one cell goes, in a second pass that is never the timed one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.cells import Together, add_cell_source_arguments, alone, chosen_cells
from bench.cli.streams import printable
from bench.core.results import Outcome

if TYPE_CHECKING:
    from bench.core.profiling import OpProfile, OpTime
    from bench.matrix import Matrix
    from bench.runner.profiling import ProfileResult

_SOMETHING_FAILED = 3
_SHOWN_OPS = 15
_SHOWN_FUNCTIONS = 3
_NAME_CHARS = 44
_KIND_CHARS = 18
_KERNEL_CHARS = 26
_ROW = f"  {{:{_NAME_CHARS}}}  {{:{_KIND_CHARS}}} {{:{_KERNEL_CHARS}}} {{:9}} {{:>5}} {{:>9}} {{:>6}}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which cell, beside which other one, with what, and where its files go."""
    parser.add_argument(
        "cell", help="cell of a run by id or model.variant; or a model or matrix, followed by a variant"
    )
    parser.add_argument("variant", nargs="?", default="", help="variant of a zoo model, model file or matrix")
    parser.add_argument("--runs", type=_count, default=20, metavar="N", help="calls to watch (20)")
    parser.add_argument("--against", default="", metavar="CELL", help="another cell, or variant, to show beside it")
    parser.add_argument("--profiler", action="append", default=[], metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where a directory per cell is written (profiles/)")
    parser.add_argument(
        "--deadline", type=_seconds, metavar="S", help="longest that a phase may take, in s (the matrix's, usually 120)"
    )
    add_cell_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError("more than 0, at most 86400")
    return seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A cell to look into, in the matrix that says how it is made, and where its files go."""

    matrix: Matrix
    cell_id: str
    out_dir: Path


def execute(words: argparse.Namespace) -> int:
    """Look, and say what was seen; 3 when a cell or a profiler could not be looked at."""
    from bench import records
    from bench.cli.progress import Progress
    from bench.runner.profiling import profile_cells

    found_by_name = [
        _asked(words, name) for name in (words.variant or words.cell, *([words.against] if words.against else []))
    ]
    asked = [each for _, each in found_by_name]
    if words.out is not None:
        records.writable_directory(words.out, "--out")
    if found_by_name[0][0].run_dir is None:
        records.writable_directory(words.results, "--results")
    with alone(words, found_by_name[0][0], "bench profile"), Progress(sys.stderr) as progress:
        found = [
            profile_cells(
                each.matrix,
                {each.cell_id: each.out_dir},
                progress,
                runs=words.runs,
                profilers=words.profiler,
                phase_deadline_s=words.deadline,
            )[each.cell_id]
            for each in asked
        ]
    if words.json:
        print(
            json.dumps({"cells": [_plain(each, result) for each, result in zip(asked, found, strict=True)]}, indent=2)
        )
    else:
        for line in _report(asked, found):
            print(printable(line))
    return _SOMETHING_FAILED if any(isinstance(each, Outcome) or each.failures for each in found) else 0


def _asked(words: argparse.Namespace, name: str) -> tuple[Together, _Asked]:
    """The cell called `name`; two cells that are shown side by side need not be of one group."""
    model = [words.cell] if words.variant else []
    chosen = chosen_cells(words, [*model, name])
    (cell,) = chosen.cells
    home = words.out or (chosen.run_dir or words.results) / "profiles"
    return chosen, _Asked(matrix=chosen.matrix, cell_id=cell.id, out_dir=home / cell.id)


def _plain(asked: _Asked, result: ProfileResult | Outcome) -> dict[str, object]:
    import msgspec

    if isinstance(result, Outcome):
        return {"cell_id": asked.cell_id, "outcome": msgspec.to_builtins(result)}
    return {
        "cell_id": asked.cell_id,
        "directory": str(result.out_dir),
        "index": json.loads((result.out_dir / "index.json").read_bytes()),
        "ops": msgspec.to_builtins(result.ops),
        "lines": [msgspec.to_builtins(line) for each in result.profiles for line in each.lines],
        "functions": [msgspec.to_builtins(function) for each in result.profiles for function in each.functions],
    }


def _report(asked: Sequence[_Asked], found: Sequence[ProfileResult | Outcome]) -> Iterator[str]:
    looked = [each for each in found if not isinstance(each, Outcome)]
    for each, result in zip(asked, found, strict=True):
        if isinstance(result, Outcome):
            yield f"{each.cell_id}: {result.status}, {result.reason}{_hint(result)}"
    profiled = [(result.prepared.cell.id, result.ops) for result in looked if result.ops is not None]
    if len(profiled) > 1:
        yield from _side_by_side(profiled)
    else:
        for cell_id, ops in profiled:
            yield from _table(cell_id, ops)
    for _, ops in profiled:
        yield from (f"note ({ops.runtime}): {note}" for note in ops.notes)
    for result in looked:
        yield from _rest(result)


def _rest(result: ProfileResult) -> Iterator[str]:
    """What else was seen of one cell, what not, and where all of it lies."""
    from bench.profile.files import lines_text
    from bench.runner.profiling import has_op_profiler

    cell = result.prepared.cell
    if not has_op_profiler(cell.variant.adapter):
        yield f"{cell.id}: no profiler knows the operators of {cell.variant.adapter}; its Python was looked at"
    for name, outcome in result.failures.items():
        yield f"{cell.id}: {name} {outcome.status}: {outcome.reason}{_hint(outcome)}"
    lines = [line for each in result.profiles for line in each.lines if line.phase == "call"]
    if lines:
        yield f"hottest lines of {cell.id}"
        yield from (f"  {line}" for line in lines_text(lines, _SHOWN_FUNCTIONS).splitlines() if line)
    for each in result.profiles:
        if each.anchor is not None:
            yield f"clock: {each.anchor.clock} is on the host's clock within {each.anchor.residual_ns / 1e3:.1f} us"
    trace = result.out_dir / "trace.json"
    if trace.exists():
        yield f"trace: {trace}"
        yield "  open it at https://ui.perfetto.dev (nothing is uploaded), or offline at chrome://tracing"
    yield f"all files: {result.out_dir}"


def _hint(outcome: Outcome) -> str:
    return f" (next: {outcome.hint})" if outcome.hint else ""


def _table(cell_id: str, ops: OpProfile) -> Iterator[str]:
    """Operators of one cell, those that take longest first."""
    yield f"{cell_id}: {_summary(ops)}"
    yield _ROW.format("operator", "kind", "kernel", "dtype", "calls", "us", "share")
    for op in ops.ops[:_SHOWN_OPS]:
        numbers = f"{op.calls_per_run:.3g}", f"{op.ns_per_run / 1e3:.1f}", f"{_share(op, ops):.1%}"
        yield _ROW.format(
            _end(op.name, _NAME_CHARS), op.kind[:_KIND_CHARS], _end(op.kernel, _KERNEL_CHARS), op.dtype, *numbers
        )
    if len(ops.ops) > _SHOWN_OPS:
        yield f"  ... and {len(ops.ops) - _SHOWN_OPS} more"


def _side_by_side(profiled: Sequence[tuple[str, OpProfile]]) -> Iterator[str]:
    """Operators of two cells, each in its own order: which belongs to which only names and kinds can tell."""
    for cell_id, ops in profiled:
        yield f"{cell_id}: {_summary(ops)}"
    width = _NAME_CHARS + 37
    yield "  " + " | ".join(f"{_end(cell_id, width):{width}}" for cell_id, _ in profiled)
    shown = [[_short(op, ops) for op in ops.ops[:_SHOWN_OPS]] for _, ops in profiled]
    for row in zip_longest(*shown, fillvalue=""):
        yield "  " + " | ".join(f"{text:{width}}" for text in row)


def _short(op: OpTime, ops: OpProfile) -> str:
    kernel = _end(op.kernel or op.kind, 18)
    return f"{_end(op.name, _NAME_CHARS):{_NAME_CHARS}} {kernel:18} {op.ns_per_run / 1e3:9.1f} {_share(op, ops):6.1%}"


def _summary(ops: OpProfile) -> str:
    return (
        f"{ops.wall_ns_per_run / 1e6:.3f} ms a call under the profiler ({ops.runs} calls), "
        f"{len(ops.ops)} operators take {ops.ops_ns_per_run / ops.wall_ns_per_run:.0%} of it"
    )


def _share(op: OpTime, ops: OpProfile) -> float:
    return op.ns_per_run / ops.wall_ns_per_run


def _end(text: str, chars: int) -> str:
    """The end of a long name, which tells more than its beginning."""
    return text if len(text) <= chars else f"...{text[3 - chars :]}"
