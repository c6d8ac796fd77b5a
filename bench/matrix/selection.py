"""`--only`: the cells that patterns name, with what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from bench.core.cell import Cell, Group
from bench.core.errors import MatrixError

from .problems import show_value, suggestion


def select(groups: Sequence[Group], patterns: Sequence[str]) -> tuple[Group, ...]:
    """Cells whose id, `model.variant` or model one of the patterns matches, and the reference of each of their groups.

    MatrixError for a pattern that matches nothing.
    """
    if not patterns:
        return tuple(groups)
    for pattern in patterns:
        if not any(_matches(cell, pattern) for group in groups for cell in group.cells):
            known = (name for group in groups for cell in group.cells for name in _names(cell))
            raise MatrixError(
                f"--only {show_value(pattern)} matches no cell{suggestion(pattern, known)}",
                hint="patterns match a cell's id, model.variant, or the model's name; bench plan shows them",
            )
    return tuple(_selected(groups, patterns))


def _selected(groups: Sequence[Group], patterns: Sequence[str]) -> Iterator[Group]:
    for group in groups:
        chosen = {cell.id for cell in group.cells if any(_matches(cell, pattern) for pattern in patterns)}
        if chosen:
            kept = chosen | {group.reference_id}
            yield replace(group, cells=tuple(cell for cell in group.cells if cell.id in kept))


def _matches(cell: Cell, pattern: str) -> bool:
    return any(pattern == name or fnmatchcase(name, pattern) for name in (cell.id, *_names(cell)))


def _names(cell: Cell) -> tuple[str, str]:
    return f"{cell.model.name}.{cell.variant.name}", cell.model.name
