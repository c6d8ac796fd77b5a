"""The run for a pull request: verdicts, one table, and the rest folded away, in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from bench.core.units import format_bytes, format_ms, format_seconds

from .headline import Headline, change_text, headline
from .reading import Report, Section
from .row import Row
from .served.headline import headlines
from .served.words import COLUMNS, cells, columns, in_process_cells
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

#: What could be markup, a link or the end of a table cell; intervals are our own and are left as they are.
_MARKUP = re.compile(
    r"(\[[\d.]+–[\d.]+\]|\[[-+±\d.]+, [-+±\d.]+\])|[^\w\s.,:;%'()–±→+…-]|_|(?<=www)\.|^\s*[-+]|^\s*\d+(?=\.\s)"
)
_COLUMNS = (
    "model", "variant", "verdict", "p50", "time ratio", "p99", "fidelity", "accuracy", "change", "size", "memory",
    "build", "first call",
)  # fmt: skip
_SUMMARY = ("model", "take", "speed", "file", "memory", "accuracy, or closeness of outputs")
_FIRST_NUMBER = _COLUMNS.index("p50")


def to_markdown(report: Report) -> str:
    """Markdown that begins with a heading and ends with a newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"### Benchmark {_escaped(report.run.manifest.name)}"
    yield ""
    said = [(section, headline(section)) for section in report.sections]
    if said:
        yield from _table(_SUMMARY, ([_escaped(text) for text in _summary(section, words)] for section, words in said))
    for section, words in said:
        yield f"- **{_escaped(section.label)}**: {_escaped(words.sentence)}"
        yield from (f"  - {_escaped(also)}" for also in words.also)
    for served in report.served:
        for each in headlines(served):
            yield f"- **{_escaped(served.label)}** behind a server, {_escaped(each.sentence)}"
            yield from (f"  - {_escaped(also)}" for also in each.also)
    for damage in report.damages:
        yield f"- damaged data: {_escaped(str(damage))}"
    unfinished = unfinished_text(report)
    if unfinished:
        yield f"- {_escaped(unfinished)}"
    yield ""
    yield from _cells_of(report)
    yield from _served(report)
    yield "<details><summary>Flags, cells that are not ok, method, environment</summary>"
    yield ""
    yield from _details(report)
    yield ""
    yield "</details>"


def _cells_of(report: Report) -> Iterator[str]:
    """The table of what was measured in process."""
    if report.in_process:
        rows = (
            [_strong(_escaped(text), row is section.best) for text in _cells(section, row)]
            for section, row in report.in_process
        )
        yield from _table(_COLUMNS, rows, numbers_from=_FIRST_NUMBER)


def _served(report: Report) -> Iterator[str]:
    """The table of what is behind a server; columns that say nothing about any model are left out."""
    if not report.served:
        return
    wanted = {column for section in report.served for column in columns(section)}
    names = [column for column in COLUMNS if column in wanted]
    rows = (
        [_escaped(section.label), *(_strong(_escaped(texts[name]), is_best) for name in names)]
        for section in report.served
        for texts, is_best in (
            *((in_process_cells(row), False) for row in section.in_process),
            *((cells(section, row), section.is_taken(row)) for row in section.rows),
        )
    )
    yield from _table(["model", *names], rows, numbers_from=1 + names.index("rate"))


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 99) -> Iterator[str]:
    """A table and an empty line; columns from `numbers_from` on are set right."""
    yield _line(names)
    yield _line(["---" if place < numbers_from else "---:" for place in range(len(names))])
    yield from map(_line, rows)
    yield ""


def _strong(text: str, is_strong: bool) -> str:  # noqa: FBT001
    return f"**{text}**" if is_strong else text


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _summary(section: Section, words: Headline) -> list[str]:
    return [section.label, words.take, words.speed, words.size, words.memory, words.answers]


def _cells(section: Section, row: Row) -> list[str]:
    costs, accuracy = row.record.costs, row.record.accuracy
    return [
        section.label,
        row.variant,
        f"{row.standing}, best" if row is section.best else row.standing,
        p50_text(row),
        ratio_text(row),
        p99_text(row),
        fidelity_text(row),
        accuracy_text(accuracy),
        NOTHING if accuracy is None or row.record.is_reference else change_text(accuracy),
        format_bytes(row.size_bytes),
        format_bytes(costs.peak_memory_bytes),
        NOTHING if row.build_s is None else format_seconds(row.build_s),
        format_ms(costs.first_call_ms),
    ]


def _details(report: Report) -> Iterator[str]:
    for note in report.footnotes:
        yield f"- {_escaped(note.text)} ({_escaped(cells_text(note))})"
    for flag in report.flag_notes:
        taints = f", taints {_escaped(affects_text(flag))}" if flag.affects else ""
        yield f"- {_escaped(flag.name)} ({_escaped(cells_text(flag))}{taints}): {_escaped(flag.text)}"
    for section, row in report.rows:
        outcome = row.record.outcome
        if not row.is_ok:
            hint = f" Next: {_escaped(outcome.hint)}" if outcome.hint else ""
            made = f" ({_escaped(made_text(row))})" if outcome.status in NOT_RUN and row.record.artifact else ""
            yield f"- {_escaped(f'{section.label} {row.name}')}{made} {_escaped(how_it_ended(outcome))}.{hint}"
    manifest = report.run.manifest
    yield f"- {_escaped(method_text(report))}"
    if report.served:
        yield f"- {_escaped(served_method_text(report.served[0].slo_ms))}"
    yield f"- run {_escaped(manifest.run_id)} in environment {_escaped(manifest.environment_id)}"
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions)
    yield f"- versions: {_escaped(versions)}"


def _escaped(text: str) -> str:
    """As character references: GitHub shows them as the characters they are, and reads no markup in them."""
    return _MARKUP.sub(_reference, printable(text, most_chars=300).strip())


def _reference(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    # Mentions and issue numbers are looked for after that: a space without width parts them from their sign.
    return "".join(f"&#{ord(character)};" + ("&#8203;" if character in "@#" else "") for character in match[0])
