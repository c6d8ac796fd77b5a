"""Which variant of a model to take, by rules that leave nothing to taste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from .row import Row, accuracy_change, worst

#: Less of a resource than this share of what the taken variant needs is worth a mention.
_CLEARLY_LESS_RATIO = 0.95
#: A smaller gain is real and still not worth another build, least of all one that loses answers.
_LEAST_SPEED_UP = 1.05
#: Cosines that read the same are the same: further digits are noise of the arithmetic.
_COSINE_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to take: `ship`, or the reference where that is None.

    `rivals` are decidedly faster than the reference, too, and their speed cannot be told apart from that of the
    fastest. `smallest` and `least_memory` are sound rows that need clearly less of it than what is taken.
    """

    reference: Row | None
    ship: Row | None = None
    rivals: tuple[Row, ...] = ()
    smallest: Row | None = None
    least_memory: Row | None = None

    @property
    def taken(self) -> Row | None:
        """What to run; None where the reference is missing or not ok, so that nothing can be ranked."""
        if self.ship is not None:
            return self.ship
        return self.reference if self.reference is not None and self.reference.is_ok else None


def decide(rows: Sequence[Row]) -> Decision:
    """The same answer for the same rows in any order.

    Only a cell that is ok, and decidedly faster by 5 % or more, can be shipped. Of those whose interval reaches that
    of the fastest, the one that loses least of the answers is taken, then the smallest file, then the faster one, then
    by name.
    """
    reference = next((row for row in rows if row.record.is_reference), None)
    contenders = _fastest([row for row in rows if row.standing == "faster" and _is_worth_it(row)])
    by_labels = has_labels(rows)
    ship = min(
        contenders, key=lambda row: (_loss(row, by_labels=by_labels), row.size_bytes or inf, *_speed(row)), default=None
    )
    taken = Decision(reference=reference, ship=ship).taken
    return Decision(
        reference=reference,
        ship=ship,
        rivals=tuple(sorted((row for row in contenders if row is not ship), key=_speed)),
        smallest=_least(rows, taken, "size_bytes"),
        least_memory=_least(rows, taken, "peak_memory_bytes"),
    )


def has_labels(rows: Sequence[Row]) -> bool:
    """Whether some row was judged by labelled samples."""
    return any(row.record.accuracy is not None for row in rows)


def _is_worth_it(row: Row) -> bool:
    return row.ratio.value is not None and 1 / row.ratio.value >= _LEAST_SPEED_UP


def _fastest(faster: Sequence[Row]) -> list[Row]:
    """The fastest row, and those whose interval overlaps its interval."""
    if not faster:
        return []
    first = min(faster, key=_speed)
    reach = first.ratio.interval.high if first.ratio.interval is not None else first.ratio.value or 0.0
    return [
        row for row in faster if row is first or (row.ratio.interval is not None and row.ratio.interval.low <= reach)
    ]


def _speed(row: Row) -> tuple[float, str]:
    value = row.ratio.value
    return (value if value is not None else inf, row.variant)


def _loss(row: Row, *, by_labels: bool) -> float:
    """What its answers lose against the reference's; what was not judged loses most."""
    record = row.record
    if by_labels:
        return inf if record.accuracy is None else -(accuracy_change(record.accuracy).value or 0.0)
    if record.fidelity is None:
        return inf
    cosine = worst(record.fidelity.outputs, "cosine")
    return inf if cosine is None else round(1 - cosine, _COSINE_DECIMALS)


def _least(rows: Sequence[Row], taken: Row | None, resource: str) -> Row | None:
    """The sound row that needs least of a resource, where that is clearly less than what is taken needs."""
    if taken is None or (limit := _need(taken, resource)) is None:
        return None
    known = [(need, *_speed(row), row) for row in rows if row.is_ok and (need := _need(row, resource)) is not None]
    least, *_, row = min(known, key=lambda entry: entry[:3])
    return row if least < _CLEARLY_LESS_RATIO * limit else None


def _need(row: Row, resource: str) -> int | None:
    return row.size_bytes if resource == "size_bytes" else row.record.costs.peak_memory_bytes
