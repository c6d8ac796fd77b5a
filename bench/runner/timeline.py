"""Where the wall time of a run went: the parent is always in exactly one kind of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

#: The kinds, in the order of a run. `other` is what the harness itself costs.
KINDS = ("build", "import", "load", "check", "warm-up", "timed", "other")


class Timeline:
    """Adds up seconds by kind; what nobody claims is `other`."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._started_s = now_s()
        self._spent_s = dict.fromkeys(KINDS, 0.0)

    @contextmanager
    def spend(self, kind: str) -> Iterator[None]:
        """Claim the time of the body for one kind."""
        with self.share(lambda: {kind: 1.0}):
            yield

    def credit(self, kind: str, seconds: float) -> None:
        """Claim what a child measured itself: what the parent spent on asking and listening stays `other`."""
        self._spent_s[kind] += seconds

    @contextmanager
    def share(self, weights: Callable[[], Mapping[str, float]]) -> Iterator[None]:
        """Claim the time of the body for several kinds in proportion to `weights()`, asked at the end: children that
        work side by side each report how long they imported and loaded."""
        started_s = self._now_s()
        try:
            yield
        finally:
            elapsed_s = self._now_s() - started_s
            given = weights()
            total = sum(given.values())
            for kind, weight in given.items():
                self._spent_s[kind] += elapsed_s * weight / total if total else 0.0

    @property
    def elapsed_s(self) -> float:
        """Since the start."""
        return self._now_s() - self._started_s

    def spent_s(self) -> dict[str, float]:
        """Seconds by kind, adding up to the elapsed time."""
        spent = dict(self._spent_s)
        spent["other"] += max(0.0, self.elapsed_s - sum(spent.values()))
        return spent
