"""What a run tells whoever watches it; called between blocks only, never while one is timed."""

from __future__ import annotations

from typing import Protocol

from bench.core.cell import Group
from bench.core.record import Record


class Watcher(Protocol):
    """A view of a running run."""

    def note(self, text: str) -> None:
        """Something worth a line of its own: resumed, quarantined, degraded isolation."""
        ...

    def building(self, text: str, done: int, total: int) -> None:
        """Artifacts and inputs are being made."""
        ...

    def group_started(self, group: Group, position: int, total: int) -> None:
        """A group of cells begins."""
        ...

    def progress(self, text: str, fraction: float) -> None:
        """How much of the run's rounds is done."""
        ...

    def recorded(self, record: Record) -> None:
        """A cell's record is safe on disk."""
        ...


class Silent:
    """Watches nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def building(self, text: str, done: int, total: int) -> None:
        """Nothing."""

    def group_started(self, group: Group, position: int, total: int) -> None:
        """Nothing."""

    def progress(self, text: str, fraction: float) -> None:
        """Nothing."""

    def recorded(self, record: Record) -> None:
        """Nothing."""
