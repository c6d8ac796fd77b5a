"""The served cells of one model beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.core.cell import Cell, LoadPlan
from bench.report.row import Row, is_served
from bench.report.settings import in_process, of_any_variant, settings_of

from .decision import ServedDecision, decide
from .row import ServedRow


@dataclass(frozen=True, kw_only=True)
class ServedSection:
    """All topologies, variants and loads of one model under one setting."""

    model: str
    settings: str
    rows: tuple[ServedRow, ...]
    is_only_one_of_model: bool

    @property
    def label(self) -> str:
        """The model's name, with the setting where the model has several."""
        return self.model if self.is_only_one_of_model else f"{self.model} ({self.settings})"

    @property
    def has_several_variants(self) -> bool:
        """Whether a row needs its variant's name."""
        return len({row.variant for row in self.rows}) > 1

    @property
    def has_several_loads(self) -> bool:
        """Whether a row needs its load's name."""
        return len({row.record.cell.load for row in self.rows}) > 1

    @property
    def topologies(self) -> tuple[str, ...]:
        """The names of its topologies, each once."""
        return tuple(dict.fromkeys(row.topology for row in self.rows))

    @property
    def parts(self) -> tuple[tuple[ServedRow, ...], ...]:
        """The rows that differ in their topology alone, together: what one figure can show."""
        found: dict[tuple[str, LoadPlan], list[ServedRow]] = {}
        for row in self.rows:
            found.setdefault((row.variant, row.record.cell.load), []).append(row)
        return tuple(tuple(rows) for rows in found.values())

    @property
    def slo_ms(self) -> float | None:
        """The objective for p99; it is the same for all cells of a run."""
        return next((row.served.slo_ms for row in self.rows if row.served.slo_ms is not None), None)

    @property
    def in_process(self) -> tuple[Row, ...]:
        """The rows in process of its variants, each once."""
        found = {row.in_process.record.cell_id: row.in_process for row in self.rows if row.in_process is not None}
        return tuple(found.values())

    @cached_property
    def decisions(self) -> tuple[ServedDecision, ...]:
        """Which topology to take, for each load."""
        loads = dict.fromkeys(row.record.cell.load for row in self.rows)
        return tuple(decide([row for row in self.rows if row.record.cell.load == load]) for load in loads)

    def is_taken(self, row: ServedRow) -> bool:
        """Whether the row is what to take under its load, where there was a choice."""
        return any(decision.taken is row and decision.is_choice for decision in self.decisions)

    def short(self, row: ServedRow) -> str:
        """What a row is called inside the section: its topology, and what else tells it from the others."""
        return ", ".join((row.topology, *self.beside_topology(row)))

    def under_load(self, row: ServedRow) -> str:
        """What a row is called where its load has been said."""
        return f"{row.topology}, {row.variant}" if self.has_several_variants else row.topology

    def beside_topology(self, row: ServedRow) -> tuple[str, ...]:
        """What else tells a row from the others: variant and load, where there are several."""
        variant = (row.variant,) if self.has_several_variants else ()
        return (*variant, row.load) if self.has_several_loads else variant


def gather(rows: Sequence[Row]) -> Iterator[ServedSection]:
    """The sections of a run's served cells; cells in process stand beside them."""
    beside = {row.record.cell: row for row in rows if not is_served(row.record)}
    by_setting: dict[Cell, list[Row]] = {}
    for row in rows:
        if is_served(row.record):
            by_setting.setdefault(of_any_variant(row.record.cell), []).append(row)
    models = [cell.model.name for cell in by_setting]
    for cell, members in by_setting.items():
        loads = {row.record.cell.load for row in members}
        yield ServedSection(
            model=cell.model.name,
            settings=settings_of(cell),
            rows=tuple(
                ServedRow(
                    record=row.record,
                    tolerance=row.tolerance,
                    has_sound_reference=row.has_sound_reference,
                    in_process=beside.get(in_process(row.record.cell)),
                    has_several_loads=len(loads) > 1,
                )
                for row in members
            ),
            is_only_one_of_model=models.count(cell.model.name) == 1,
        )
