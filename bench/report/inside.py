"""What was found out about single cells after the run: explanations of their speed or errors, and profiles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from bench.core.errors import StoreError
from bench.core.units import format_ms, format_percent
from bench.explain.divergence import Divergence, TensorError
from bench.explain.speed import Explanation, OperatorTime
from bench.profile.files import INDEX
from bench.records import RunDirectory, read_explanations

from .reading import Section
from .row import Row
from .words import NOTHING

_OPERATORS_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One explanation: sentences and the table behind them; lower ranks come first."""

    title: str
    sentences: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    caption: str
    rank: int


@dataclass(frozen=True, kw_only=True)
class LinkedFile:
    """A file beside the page; `href` is relative to it."""

    name: str
    href: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """The files of one profiled cell."""

    section: Section
    row: Row
    files: tuple[LinkedFile, ...]


@dataclass(frozen=True, kw_only=True)
class Inside:
    """All that is known beyond the measurement; `problems` names what lies there and cannot be read."""

    answers: tuple[Answer, ...]
    looks: tuple[Look, ...]
    problems: tuple[str, ...]


def read_inside(run: RunDirectory, sections: Sequence[Section]) -> Inside:
    """What `bench explain` and `bench profile` left in a run's directory, the best and the worst variant first.

    What lies there and cannot be read becomes a problem, and takes nothing else with it.
    """
    problems: list[str] = []
    answers = [*_answers(run.path, sections, problems)]
    looks = []
    for section in sections:
        for row in section.rows:
            try:
                files = tuple(_files(run.path, row.record.cell_id))
            except (OSError, ValueError, TypeError, LookupError) as error:
                problems.append(f"profile of {section.label} {row.variant}: {type(error).__name__}: {error}")
                continue
            if files:
                looks.append(Look(section=section, row=row, files=files))
    answers.sort(key=lambda answer: answer.rank)
    return Inside(answers=tuple(answers), looks=tuple(looks), problems=tuple(problems))


def _answers(run_dir: Path, sections: Sequence[Section], problems: list[str]) -> Iterator[Answer]:
    """Explanations of this run's pairs; an answer about cells that the run has not is none of its own."""
    pairs = {
        f"{a.record.cell_id}--{b.record.cell_id}": (section, a, b)
        for section in sections
        for a in section.rows
        for b in section.rows
    }
    try:
        for name, speed in read_explanations(run_dir, "explanations", Explanation).items():
            if name in pairs:
                yield _of_speed(speed, *pairs[name])
    except StoreError as error:
        problems.append(str(error))
    try:
        for name, numbers in read_explanations(run_dir, "divergences", Divergence).items():
            if name in pairs:
                yield _of_numbers(numbers, *pairs[name])
    except StoreError as error:
        problems.append(str(error))


def _rank(section: Section, *rows: Row) -> int:
    """0 for what is about the variant to ship, 1 about the slowest one, 2 for the rest."""
    compared = [row for row in section.rows if row.is_ok and row.ratio.value is not None]
    slowest = max(compared, key=lambda row: row.ratio.value or 0.0, default=None)
    for rank, wanted in enumerate((section.best, slowest)):
        if any(row is wanted for row in rows):
            return rank
    return 2


def _of_speed(found: Explanation, section: Section, a: Row, b: Row) -> Answer:
    walls = (format_ms(found.a.wall_ms), format_ms(found.b.wall_ms), _signed_ms(found.gap_ms))
    rows = [
        (
            kind.kind,
            _signed_ms(kind.a_ms, plus=""),
            _signed_ms(kind.b_ms, plus=""),
            _signed_ms(kind.delta_ms),
            "" if kind.gap_ratio is None else format_percent(kind.gap_ratio),
            _operators(kind.a_operators),
            _operators(kind.b_operators),
        )
        for kind in found.kinds
    ]
    columns = ("kind of work", a.variant, b.variant, "difference", "of the gap")
    coverage = found.coverage_ratio
    return Answer(
        title=f"{section.label}: why {b.variant} is {_faster_or_slower(found)} {a.variant}",
        sentences=found.words,
        columns=(*columns, f"operators of {a.variant}", f"operators of {b.variant}"),
        cells=(*rows, ("timed call", *walls, "", "", "")),
        caption="" if coverage is None else f"coverage {format_percent(coverage)} = {found.coverage_formula}",
        rank=_rank(section, a, b),
    )


def _faster_or_slower(found: Explanation) -> str:
    if not found.is_gap:
        return "as fast as"
    return "slower than" if found.gap_ms > 0 else "faster than"


def _of_numbers(found: Divergence, section: Section, a: Row, b: Row) -> Answer:
    return Answer(
        title=f"{section.label}: where {b.variant} leaves the numbers of {a.variant}",
        sentences=found.words,
        columns=("worst tensors", "relative error", "cosine", "outside", "made by", "node"),
        cells=tuple(_tensor(error) for error in found.worst),
        caption=f"tolerance: {found.tolerance}; {found.batches} batches of inputs",
        rank=_rank(section, a, b),
    )


def _tensor(error: TensorError) -> tuple[str, ...]:
    return (
        error.tensor,
        NOTHING if error.relative_error is None else f"{error.relative_error:.3g}",
        NOTHING if error.cosine is None else f"{error.cosine:.5f}",
        "yes" if error.problem else "",
        error.operator,
        error.node,
    )


def _signed_ms(value_ms: float, *, plus: str = "+") -> str:
    if value_ms == 0:
        return NOTHING
    return f"{'-' if value_ms < 0 else plus}{format_ms(abs(value_ms))}"


def _operators(operators: Sequence[OperatorTime]) -> str:
    shown = [f"{time.count:.3g} {time.operator} {format_ms(time.ms)}" for time in operators[:_OPERATORS_SHOWN]]
    rest = len(operators) - len(shown)
    return ", ".join([*shown, f"{rest} more"] if rest else shown)


def _files(run_dir: Path, cell_id: str) -> Iterator[LinkedFile]:
    """What the index of a profile names and is there; nothing outside of the profile's own directory."""
    home = PurePosixPath("profiles", cell_id)
    index = run_dir / home / INDEX
    if len(home.parts) != 2 or not index.is_file():
        return
    for entry in json.loads(index.read_bytes())["files"]:
        path = home / str(entry["path"])
        if path.parts[:2] != home.parts or ".." in path.parts:
            raise ValueError(f"{entry['path']!r} lies outside of the profile")
        if (run_dir / path).is_file():
            yield LinkedFile(name=str(entry["path"]), href=quote(str(path)), what=str(entry["what"]))
