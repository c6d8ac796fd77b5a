"""A run as all views see it: its cells in groups, what each verdict means, which variant is best, and the warnings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from bench.core.cell import Cell, Tolerance
from bench.core.results import RANKED_STATUS
from bench.records import Damage, RunDirectory, is_terminal, open_run

from .decision import Decision, decide, has_labels
from .row import Row, is_served
from .served import ServedSection, gather
from .settings import settings_of

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")


@dataclass(frozen=True, kw_only=True)
class Section:
    """The cells in process that were measured together: one model under one setting."""

    model: str
    settings: str
    rows: tuple[Row, ...]
    is_only_one_of_model: bool

    @property
    def label(self) -> str:
        """The model's name, with the setting where the model has several."""
        return self.model if self.is_only_one_of_model else f"{self.model} ({self.settings})"

    @cached_property
    def decision(self) -> Decision:
        """Which variant to take."""
        return decide(self.rows)

    @property
    def reference(self) -> Row | None:
        """The row that ratios are taken against, when it has a record."""
        return self.decision.reference

    @property
    def best(self) -> Row | None:
        """The variant to ship in place of the reference; None where the reference stays or nothing is ranked."""
        return self.decision.ship

    @property
    def has_labels(self) -> bool:
        """Whether some cell was judged by labelled samples."""
        return has_labels(self.rows)


Place = tuple[Section | ServedSection, Row]
"""A cell and where it stands."""


@dataclass(frozen=True, kw_only=True)
class FlagNote:
    """A warning, told once, with the cells it is about; numbers that differ between them are given as a range."""

    name: str
    text: str
    affects: tuple[str, ...]
    cells: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Footnote:
    """What steps say of the artifacts they made, and topologies of themselves, told once, with its number and cells."""

    number: int
    text: str
    cells: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a view shows."""

    run: RunDirectory
    sections: tuple[Section, ...]
    served: tuple[ServedSection, ...]
    damages: tuple[Damage, ...]
    missing_cell_ids: tuple[str, ...]

    @property
    def rows(self) -> tuple[Place, ...]:
        """All rows with their sections: those in process, then those behind a server."""
        return tuple((section, row) for section in self.all_sections for row in section.rows)

    @property
    def all_sections(self) -> tuple[Section | ServedSection, ...]:
        """The sections in process, then those behind a server."""
        return (*self.sections, *self.served)

    @property
    def in_process(self) -> tuple[tuple[Section, Row], ...]:
        """The rows in process."""
        return tuple((section, row) for section in self.sections for row in section.rows)

    @property
    def models(self) -> tuple[str, ...]:
        """The names of all models."""
        return tuple(dict.fromkeys(row.record.cell.model.name for _, row in self.rows))

    @cached_property
    def flag_notes(self) -> tuple[FlagNote, ...]:
        """All flags of the run, most widespread first."""
        told: dict[tuple[str, str], list[tuple[Section | ServedSection, Row, str, tuple[str, ...]]]] = {}
        for section, row in self.rows:
            for flag in row.record.flags:
                told.setdefault((flag.name, without_numbers(flag.text)), []).append(
                    (section, row, flag.text, flag.affects)
                )
        notes = [
            FlagNote(
                name=name,
                text=merged_text([text for _, _, text, _ in entries]),
                affects=max((affects for *_, affects in entries), key=len),
                cells=tuple((section, row) for section, row, *_ in entries),
            )
            for (name, _), entries in told.items()
        ]
        return tuple(sorted(notes, key=lambda note: -len(note.cells)))

    @cached_property
    def footnotes(self) -> tuple[Footnote, ...]:
        """The notes of all artifacts and topologies, in the order in which the rows bring them up."""
        told: dict[str, list[tuple[Section | ServedSection, Row, str]]] = {}
        for section, row in self.rows:
            for note in row.notes:
                told.setdefault(without_numbers(note), []).append((section, row, note))
        return tuple(
            Footnote(
                number=number,
                text=merged_text([text for *_, text in entries]),
                cells=tuple((section, row) for section, row, _ in entries),
            )
            for number, entries in enumerate(told.values(), start=1)
        )

    def footnote_numbers(self, row: Row) -> tuple[int, ...]:
        """Which footnotes are about a row."""
        return tuple(note.number for note in self.footnotes if any(own is row for _, own in note.cells))


def read_report(run_dir: Path) -> Report:
    """Read a run; StoreError when it is none or cannot be read."""
    run = open_run(run_dir)
    records, damages = run.records()
    sound = {record.cell_id for record in records if record.outcome.status == RANKED_STATUS}
    rows = [
        Row(
            record=record,
            tolerance=_tolerance(run.manifest.resolved_matrix, record.cell),
            has_sound_reference=record.reference_id in sound,
        )
        for record in records
    ]
    sections = tuple(_sections([row for row in rows if not is_served(row.record)]))
    done = {record.cell_id for record in records if is_terminal(record)}
    return Report(
        run=run,
        sections=sections,
        served=tuple(gather(rows)),
        damages=damages,
        missing_cell_ids=tuple(cell_id for cell_id in run.manifest.planned_cell_ids if cell_id not in done),
    )


def _sections(rows: Sequence[Row]) -> Iterator[Section]:
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(row.record.group_id, []).append(row)
    models = [members[0].record.cell.model.name for members in by_group.values()]
    for model, members in zip(models, by_group.values(), strict=True):
        yield Section(
            model=model,
            settings=settings_of(members[0].record.cell),
            rows=tuple(members),
            is_only_one_of_model=models.count(model) == 1,
        )


def without_numbers(text: str) -> str:
    """Equal for texts that `merged_text` can merge."""
    return _NUMBER.sub("#", text)


def merged_text(texts: Sequence[str]) -> str:
    """Texts that differ in their numbers only, as one: each number that differs becomes a range."""
    pieces = _NUMBER.split(texts[0])
    columns = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    return pieces[0] + "".join(_range(column) + piece for column, piece in zip(columns, pieces[1:], strict=True))


def _range(numbers: Iterable[str]) -> str:
    ordered = sorted(numbers, key=float)
    return ordered[0] if float(ordered[0]) == float(ordered[-1]) else f"{ordered[0]}–{ordered[-1]}"


def _tolerance(resolved_matrix: Mapping[str, object], cell: Cell) -> Tolerance | None:
    """How the variant was judged, as the resolved matrix says; None where it does not."""
    place: object = resolved_matrix
    for key in ("models", cell.model.name, "variants", cell.variant.name, "tolerance"):
        if not isinstance(place, Mapping) or key not in place:
            return None
        place = place[key]
    try:
        return msgspec.convert(place, Tolerance)
    except msgspec.ValidationError:
        return None
