"""What a look at one cell leaves on disk: the trace, the tables, and an index of it all for reports."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from bench.core.files import write_atomic
from bench.core.profiling import LineTime, OpProfile, Profile
from bench.core.results import Outcome

from .trace import chrome_trace, shown

INDEX = "index.json"
SCHEMA_VERSION = 1
_HOTTEST_FUNCTIONS = 20
_WHAT = {
    "trace.json": "Chrome trace of host and runtime on one clock: https://ui.perfetto.dev or chrome://tracing",
    "ops.json": "operators",
    "ops.csv": "operators as a table",
    "lines.txt": "hottest lines of Python",
}


def write_files(
    out_dir: Path, cell_id: str, profiles: Sequence[Profile], failures: Mapping[str, Outcome]
) -> tuple[str, ...]:
    """Write what the profiles hold into `out_dir`, `index.json` last; returns the names of the files."""
    written = []
    traced = shown(profiles)
    if traced is not None:
        written.append("trace.json")
        _write(out_dir / "trace.json", json.dumps(chrome_trace(traced, cell_id), allow_nan=False))
    ops = next((profile.ops for profile in profiles if profile.ops is not None), None)
    if ops is not None:
        written += ["ops.json", "ops.csv"]
        write_atomic(out_dir / "ops.json", msgspec.json.format(msgspec.json.encode(ops)))
        _write(out_dir / "ops.csv", _ops_csv(ops))
    lines = [line for profile in profiles for line in profile.lines]
    if lines:
        written.append("lines.txt")
        _write(out_dir / "lines.txt", lines_text(lines))
    _write(out_dir / INDEX, json.dumps(_index(cell_id, profiles, failures, written), indent=1, allow_nan=False))
    return (*written, *(file for profile in profiles for file in profile.files), INDEX)


def _write(path: Path, text: str) -> None:
    write_atomic(path, text.encode())


def _index(
    cell_id: str, profiles: Sequence[Profile], failures: Mapping[str, Outcome], written: Sequence[str]
) -> dict[str, Any]:
    """What there is, for those who link it; files by their names below the index."""
    files = [{"path": name, "what": _WHAT[name], "profiler": ""} for name in written]
    files += [
        {"path": name, "what": f"as {profile.profiler} wrote it", "profiler": profile.profiler}
        for profile in profiles
        for name in profile.files
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "cell_id": cell_id,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
        "profilers": [
            {
                "name": profile.profiler,
                "notes": [*profile.notes, *(profile.ops.notes if profile.ops else ())],
                "clock": msgspec.to_builtins(profile.anchor),
            }
            for profile in profiles
        ],
        "failures": {name: msgspec.to_builtins(outcome) for name, outcome in failures.items()},
    }


def _ops_csv(ops: OpProfile) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("name", "kind", "kernel", "dtype", "calls_per_run", "ns_per_call", "ns_per_run", "wall_ratio"))
    for op in ops.ops:
        numbers = (op.calls_per_run, op.ns_per_call, op.ns_per_run, op.ns_per_run / ops.wall_ns_per_run)
        table.writerow((op.name, op.kind, op.kernel, op.dtype, *(f"{number:.6g}" for number in numbers)))
    return text.getvalue()


def lines_text(lines: Sequence[LineTime], functions: int = _HOTTEST_FUNCTIONS) -> str:
    """The lines of the hottest functions, those of the calls first, as a table like line_profiler's."""
    return "\n".join(_line_table(lines, functions)) + "\n"


def _line_table(lines: Sequence[LineTime], functions: int) -> Iterator[str]:
    for phase, title in (("call", "while called"), ("open", "while opened")):
        of_phase = [line for line in lines if line.phase == phase]
        by_function = [list(own) for _, own in groupby(of_phase, key=lambda line: (line.file, line.function))]
        hottest = sorted(by_function, key=lambda own: -sum(line.ns for line in own))
        for own in hottest[:functions]:
            total_ns = sum(line.ns for line in own)
            yield f"{own[0].function}  {own[0].file}  {total_ns / 1e6:.3f} ms {title}"
            yield f"{'line':>6} {'hits':>8} {'ms':>11} {'us a hit':>11} {'share':>7}  text"
            for line in own:
                share = line.ns / max(total_ns, 1)
                per_hit_us = line.ns / line.hits / 1e3
                yield f"{line.line:6} {line.hits:8} {line.ns / 1e6:11.3f} {per_hit_us:11.2f} {share:7.1%}  {line.text}"
            yield ""
