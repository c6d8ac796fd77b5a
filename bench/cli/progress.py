"""Progress on stderr, drawn between blocks only: nothing redraws while a call is timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Self

from bench.cli.streams import printable
from bench.core.cell import Group
from bench.core.record import Record
from bench.core.units import format_ms, format_seconds

_REDRAW_S = 0.5
_TOLD_S = 0.05


class Progress:
    """A Watcher that draws one line on a terminal, and prints plain lines elsewhere."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self._console = Console(file=stream, highlight=False, markup=False)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("starting", total=1.0, left="")
        self._started_s = time.monotonic()
        self._drawn_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def note(self, text: str) -> None:
        """A line of its own."""
        self._console.print(printable(text), soft_wrap=True)

    def building(self, text: str, done: int, total: int) -> None:
        """One line per artifact."""
        self._draw(f"building {done}/{total}: {text}", 0.0, "")

    def group_started(self, group: Group, position: int, total: int) -> None:
        """One line per group."""
        self.note(f"[{position}/{total}] {group.id}: {len(group.cells)} cells, interleaved")

    def progress(self, text: str, fraction: float) -> None:
        """The bar, with the time left at the pace so far."""
        elapsed_s = time.monotonic() - self._started_s
        left = f"about {format_seconds(elapsed_s * (1 - fraction) / fraction)} left" if fraction > 0 else ""
        self._draw(text, fraction, left)

    def recorded(self, record: Record) -> None:
        """One line per cell."""
        detail = _speed_text(record) if record.outcome.status == "ok" else record.outcome.reason
        self.note(f"  {record.outcome.status:<9} {record.cell_id}  {detail}")

    def _draw(self, text: str, fraction: float, left: str) -> None:
        now_s = time.monotonic()
        if not self._console.is_terminal or now_s - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now_s
        self._bar.update(self._task, description=printable(text), completed=fraction, left=left)
        self._bar.refresh()


def _speed_text(record: Record) -> str:
    """The median of a call; behind a server the rate of the load, and its percentiles."""
    point = record.served.headline if record.served is not None else None
    if point is None:
        return format_ms(record.statistics.p50_ms.value if record.statistics is not None else None)
    p99 = "not established" if point.p99_ms.value is None else format_ms(point.p99_ms.value)
    rate = f"{point.offered_per_s:.3g}" if point.offered_per_s < 999.5 else f"{point.offered_per_s:.0f}"
    return f"{rate}/s  p50 {format_ms(point.p50_ms.value)}  p99 {p99}"


def print_spent(spent_s: Mapping[str, float], stream: IO[str]) -> None:
    """Where the wall time of a run went; checking outputs is counted with what the harness itself cost."""
    total_s = sum(spent_s.values())
    parts = ", ".join(f"{kind} {format_seconds(seconds)}" for kind, seconds in spent_s.items() if seconds >= _TOLD_S)
    other_ratio = (spent_s["check"] + spent_s["other"]) / total_s if total_s else 0.0
    print(f"time: {format_seconds(total_s)} ({parts}); checks and the harness itself {other_ratio:.1%}", file=stream)
