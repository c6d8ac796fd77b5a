"""Which topology of a model to take under one load, by rules that leave nothing to taste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from .row import ServedRow

#: Processor time per request of the same server differs by as much from one deployment to the next.
_ALIKE_RATIO = 1.10


@dataclass(frozen=True, kw_only=True)
class ServedDecision:
    """What to take of the `rows` under one load.

    `ranked` are the rows that may be taken, best first: with an objective those that keep it, by the processor time of
    the server per request; without one those whose numbers are the server's, by p50. `missed` do not keep the
    objective, of `undecided` it is not known; both by p50.
    """

    rows: tuple[ServedRow, ...]
    slo_ms: float | None
    ranked: tuple[ServedRow, ...] = ()
    missed: tuple[ServedRow, ...] = ()
    undecided: tuple[ServedRow, ...] = ()

    @property
    def taken(self) -> ServedRow | None:
        """What to run; None where nothing can be ranked."""
        return self.ranked[0] if self.ranked else None

    @property
    def is_choice(self) -> bool:
        """Whether more than one row has numbers of its server."""
        return len(self.ranked) + len(self.missed) + len(self.undecided) > 1

    @property
    def alike(self) -> tuple[ServedRow, ...]:
        """Rows whose servers need hardly more processor time than what is taken."""
        if self.slo_ms is None or self.taken is None:
            return ()
        least_us = cpu_us(self.taken)
        return tuple(row for row in self.ranked[1:] if cpu_us(row) < _ALIKE_RATIO * least_us)


def decide(rows: Sequence[ServedRow]) -> ServedDecision:
    """The same answer for the same rows in any order; `rows` have one load."""
    slo_ms = next((row.served.slo_ms for row in rows if row.served.slo_ms is not None), None)
    sound = sorted((row for row in rows if row.ranked is not None), key=_by_p50)
    if slo_ms is None:
        return ServedDecision(rows=tuple(rows), slo_ms=None, ranked=tuple(sound))
    keeping = [row for row in sound if row.keeps_objective]
    return ServedDecision(
        rows=tuple(rows),
        slo_ms=slo_ms,
        ranked=tuple(sorted(keeping, key=lambda row: (cpu_us(row), *_by_p50(row)))),
        missed=tuple(row for row in sound if row.keeps_objective is False),
        undecided=tuple(row for row in sound if row.keeps_objective is None),
    )


def cpu_us(row: ServedRow) -> float:
    """Processor time of the servers for a request; without end where it is not known."""
    used = row.ranked.server_cpu_us_per_request if row.ranked is not None else None
    return inf if used is None else used


def p50_ms(row: ServedRow) -> float:
    """The median from when a request was due; without end where it is not known."""
    value = row.ranked.p50_ms.value if row.ranked is not None else None
    return inf if value is None else value


def _by_p50(row: ServedRow) -> tuple[float, str]:
    return (p50_ms(row), row.name)
