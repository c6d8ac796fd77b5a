"""The rows as people read them: one table, ratios for each peer, the claims, and what was started."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence

from .rows import CPU, FULL_CPU, TAIL, Ratio, Row, Side, Summary, claim, comparisons, ratio, summaries

_NAMES = 34, 14  # characters of server and encoding
_INDENT = f"{'':{_NAMES[0]}} ! "
#: Number, two lines of heading, form; memory is shown in MiB.
_COLUMNS = (
    ("first_answer_s", "first answer", "s", ".2f"),
    ("cpu_us", "server CPU", "us/request", ".0f"),
    ("p50_ms", "p50", "ms", ".2f"),
    ("p99_ms", "p99", "ms", ".1f"),
    ("x_max_per_s", "closed loop", "1/s", ".0f"),
    ("cpu_us_at_x_max", "its CPU", "us/request", ".0f"),
    ("within_slo_per_s", "within SLO", "1/s", ".0f"),
    ("memory_bytes", "memory", "MiB", ".0f"),
    ("processes", "processes", "", ".0f"),
)
_WIDTHS = tuple(max(len(above), len(below), 7) for _, above, below, _ in _COLUMNS)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each server and encoding: medians over its good rounds, or why there are none."""
    yield _joined("server", "encoding", [above for _, above, _, _ in _COLUMNS])
    yield _joined("", "", [below for _, _, below, _ in _COLUMNS])
    for summary in summaries(rows):
        yield _line(summary)
        if summary.rounds and summary.numbers[TAIL] is None:
            yield f"{_INDENT}no p50 and p99: in every round something took the load generator's core"
        for problem in summary.problems:
            yield f"{_INDENT}{'' if summary.rounds else 'no good round: '}{problem}"


def _line(summary: Summary) -> str:
    numbers = dict(summary.numbers)
    if numbers["memory_bytes"] is not None:
        numbers["memory_bytes"] /= 2**20
    shown = [_text(numbers[name], form) for name, _, _, form in _COLUMNS]
    return _joined(summary.contender, summary.encoding, shown)


def _joined(contender: str, encoding: str, cells: Sequence[str]) -> str:
    padded = (f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"{contender:{_NAMES[0]}} {encoding:{_NAMES[1]}} {' '.join(padded)}".rstrip()


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return "failed" if math.isinf(value) else format(value, form)


def ratios(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> Iterator[str]:
    """Ours over each peer's, inside each round, with the least and the greatest."""
    for peer in peers:
        same, best = comparisons(rows, ours, peer)
        for mine, theirs in dict.fromkeys((*same, *best)):
            cpu, full, tail = (_ratio(ratio(rows, mine, theirs, number)) for number in (CPU, FULL_CPU, TAIL))
            yield f"{_name(mine)} vs {_name(theirs)}: server CPU {cpu}, in the closed loop {full}, p99 {tail}"


def _name(side: Side) -> str:
    return f"{side.contender} ({side.encoding})"


def _ratio(found: Ratio | None) -> str:
    return "not measured" if found is None else f"{found.value:.2f}x [{found.low:.2f}–{found.high:.2f}]"


def claims(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> Iterator[str]:
    """Yes only where every round says so, in every encoding that both speak."""
    for peer in peers:
        same, best = comparisons(rows, ours, peer)
        ahead = f"{ours} is ahead of {peer} in"
        yield f"{ahead} server CPU per request at the same encoding: {claim(rows, same, CPU)}"
        yield f"{ahead} server CPU per request of the closed loop at the same encoding: {claim(rows, same, FULL_CPU)}"
        yield f"{ahead} server CPU per request, each in its best encoding: {claim(rows, best, CPU)}"
        yield f"{ahead} p99 at the same rate and encoding: {claim(rows, same, TAIL)}"


def commands(rows: Sequence[Row], settings: Mapping[str, str]) -> Iterator[str]:
    """What was started for each server, and what its command does not show, so that anybody can object."""
    for name in dict.fromkeys(row.contender for row in rows):
        found = next((row.commands for row in rows if row.contender == name and row.commands), ())
        for argv in found:
            yield f"{name}: {shlex.join(argv)}"
        if found and settings.get(name):
            yield f"    {settings[name]}"
