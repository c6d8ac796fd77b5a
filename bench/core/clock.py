"""Time as an argument: the same code runs on the machine's clock and on a fake one with exact numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Monotonic time in nanoseconds and a way to wait; wall-clock time is a label, never a measurement."""

    def now_ns(self) -> int:
        """Monotonic time."""
        ...

    def sleep_s(self, seconds: float) -> None:
        """Wait at least `seconds`."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    now_ns: Callable[[], int] = staticmethod(time.perf_counter_ns)
    sleep_s: Callable[[float], None] = staticmethod(time.sleep)


class FakeClock:
    """A clock that moves only when told to: `advance_ns`, or by sleeping."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Fake monotonic time."""
        return self._now_ns

    def sleep_s(self, seconds: float) -> None:
        """Move time forward without waiting."""
        self.advance_ns(round(seconds * 1e9))

    def advance_ns(self, nanoseconds: int) -> None:
        """Move time forward by exactly `nanoseconds`."""
        if nanoseconds < 0:
            raise ValueError("a monotonic clock never goes back")
        self._now_ns += nanoseconds
