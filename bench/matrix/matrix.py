"""The loaded matrix: what is measured, how much, and how far outputs may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.cell import Cell, Group, Measurement, Serving, Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """A matrix file with every default spelled out and every axis multiplied.

    `path` is None when the matrix came as text. `resolved` is plain JSON data for `run.json`: the whole matrix after
    overrides, with defaults. `digest` is equal for two matrices that ask for the same cells, references, measurement
    and tolerances, however their files are ordered.
    """

    name: str
    path: Path | None
    text: str
    groups: tuple[Group, ...]
    measurement: Measurement
    serving: Serving
    tolerances: Mapping[tuple[str, str], Tolerance]  # (model name, variant name) -> tolerance
    resolved: Mapping[str, Any]
    digest: str

    @property
    def cells(self) -> Iterator[Cell]:
        """All cells, group after group."""
        return (cell for group in self.groups for cell in group.cells)
