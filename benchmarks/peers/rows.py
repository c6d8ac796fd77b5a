"""What was measured of each server in each encoding and round, and what follows from it: medians, ratios, claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

#: Claims stand on these; of all of them less is better.
CPU, FULL_CPU, TAIL = "cpu_us", "cpu_us_at_x_max", "p99_ms"
_NUMBERS = (
    "first_answer_s", "cpu_us", "p50_ms", "p99_ms", "x_max_per_s", "cpu_us_at_x_max", "within_slo_per_s",
    "memory_bytes", "processes",
)  # fmt: skip

Answer = Literal["yes", "no", "undecided", "not measured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One encoding of one start of a server; `problem` says why its numbers are not the server's, empty when they are.

    `first_answer_s` is the time from its launch to the first good answer in whichever encoding was asked first,
    `cpu_us` processor time of all its processes over the requests of the open load, `cpu_us_at_x_max` over those of
    the closed loop; memory is proportional set size. Percentiles are None where the client was too late to tell.
    `x_max_per_s` is the throughput of a closed loop, `within_slo_per_s` a rate that kept the objective.
    """

    contender: str
    encoding: str
    round: int
    first_answer_s: float | None = None
    cpu_us: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    requests: int = 0
    x_max_per_s: float | None = None
    cpu_us_at_x_max: float | None = None
    within_slo_per_s: float | None = None
    search_words: str = ""
    memory_bytes: int | None = None
    processes: int | None = None
    commands: tuple[tuple[str, ...], ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Medians over the good rounds of one server in one encoding; `problems` are those of the others."""

    contender: str
    encoding: str
    rounds: int
    numbers: Mapping[str, float | None]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A server and the encoding in which it was asked."""

    contender: str
    encoding: str


Pair = tuple[Side, Side]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Ours over a peer's, of one number: median over rounds of the ratio inside each, the least and the greatest."""

    value: float
    low: float
    high: float
    rounds: int

    @property
    def is_less(self) -> Answer:
        """Whether ours is less, in every round or in none; one round decides nothing."""
        if self.rounds < 2:
            return "undecided"
        if self.high < 1:
            return "yes"
        return "no" if self.low >= 1 else "undecided"


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """One for each server and encoding, in the order in which they were first met."""
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.contender, row.encoding].append(row)
    return [
        Summary(
            contender=contender,
            encoding=encoding,
            rounds=sum(not row.problem for row in found),
            numbers={name: _median(found, name) for name in _NUMBERS},
            problems=tuple(dict.fromkeys(row.problem for row in found if row.problem)),
        )
        for (contender, encoding), found in grouped.items()
    ]


def _median(rows: Sequence[Row], name: str) -> float | None:
    values = [getattr(row, name) for row in rows if not row.problem and getattr(row, name) is not None]
    return float(median(values)) if values else None


def ratio(rows: Sequence[Row], ours: Side, theirs: Side, number: str) -> Ratio | None:
    """Ours over theirs inside each round in which both are good; None where there is no such round."""
    by_round = [{row.round: row for row in rows if _is_of(row, side) and not row.problem} for side in (ours, theirs)]
    found = []
    for number_of_round in sorted(by_round[0].keys() & by_round[1].keys()):
        above, below = (getattr(side[number_of_round], number) for side in by_round)
        if above is not None and below:
            found.append(above / below)
    return Ratio(value=median(found), low=min(found), high=max(found), rounds=len(found)) if found else None


def _is_of(row: Row, side: Side) -> bool:
    return row.contender == side.contender and row.encoding == side.encoding


def best_encoding(rows: Sequence[Row], contender: str) -> Side | None:
    """The encoding in which a server needs the least processor time; None where none was measured."""
    of_it = [summary for summary in summaries(rows) if summary.contender == contender]
    costs = {summary.encoding: summary.numbers[CPU] for summary in of_it}
    known = {encoding: cost for encoding, cost in costs.items() if cost is not None}
    return Side(contender=contender, encoding=min(known, key=lambda encoding: known[encoding])) if known else None


def comparisons(rows: Sequence[Row], ours: str, peer: str) -> tuple[list[Pair], list[Pair]]:
    """Ours beside a peer in each encoding that both speak, and each in its best one, where there is one."""
    met = list(dict.fromkeys((row.contender, row.encoding) for row in rows))
    shared = [encoding for contender, encoding in met if contender == peer and (ours, encoding) in met]
    same = [(Side(contender=ours, encoding=each), Side(contender=peer, encoding=each)) for each in shared]
    mine, theirs = best_encoding(rows, ours), best_encoding(rows, peer)
    return same, [(mine, theirs)] if mine is not None and theirs is not None else []


def claim(rows: Sequence[Row], pairs: Sequence[Pair], number: str) -> Answer:
    """Whether ours has less of a number in all of these pairs: no as soon as one says no, yes when all say yes."""
    found = [ratio(rows, ours, theirs, number) for ours, theirs in pairs]
    answers: list[Answer] = [each.is_less if each is not None else "not measured" for each in found]
    worst_first: tuple[Answer, ...] = ("no", "undecided", "not measured", "yes")
    return next((answer for answer in worst_first if answer in answers), "not measured")
