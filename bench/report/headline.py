"""The decision on a model in words: what to take, what it gains, and what it costs in accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.results import Accuracy, Interval
from bench.core.units import format_bytes, format_percent, format_points

from .reading import Section
from .row import Row, accuracy_change, speed_up
from .words import closeness_text, ending, p50_text, turned_ratio_text

#: Sizes that differ by less than this share are called the same.
_SAME_SIZE_RATIO = 0.02


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One row of the summary; `sentence` says the same in full, `also` names what else is worth a look."""

    take: str
    speed: str = ""
    size: str = ""
    answers: str = ""
    memory: str = ""
    sentence: str
    also: tuple[str, ...] = ()
    is_less_accurate: bool = False  # the whole interval of the change lies below 0


def headline(section: Section) -> Headline:
    """What to do about a model, for the top of every view."""
    reference, ship = section.reference, section.best
    if reference is None:
        return _no_ranking("the reference has no record")
    if not reference.is_ok:
        return _no_ranking(f"the reference {reference.variant} {ending(reference.record.outcome)}")
    if ship is None:
        return Headline(
            take=f"KEEP {reference.variant}",
            speed=p50_text(reference),
            size=format_bytes(reference.size_bytes),
            answers=_own_accuracy_text(reference),
            memory=format_bytes(reference.record.costs.peak_memory_bytes),
            sentence=_keep_sentence(section, reference),
            also=_also(section),
        )
    gain = turned_ratio_text(ship, f"as fast as {reference.variant}")
    cost = answers_text(ship, reference, in_full=True)
    return Headline(
        take=f"SHIP {ship.variant}",
        speed=turned_ratio_text(ship, "as fast"),
        size=size_text(ship, reference),
        answers=answers_text(ship, reference),
        memory=_memory_text(ship, reference),
        sentence=f"ship {ship.variant}: {gain}, {size_text(ship, reference)}, {cost}",
        also=_also(section),
        is_less_accurate=_is_less_accurate(ship),
    )


def _no_ranking(reason: str) -> Headline:
    return Headline(take="no ranking", answers=reason, sentence=f"no ranking, for {reason}")


def size_text(row: Row, reference: Row) -> str:
    """How much smaller or larger its file is."""
    if not row.size_bytes or not reference.size_bytes:
        return "size unknown"
    ratio = reference.size_bytes / row.size_bytes
    if abs(ratio - 1) < _SAME_SIZE_RATIO:
        return "same size"
    return f"{_times(ratio)} smaller" if ratio > 1 else f"{_times(1 / ratio)} larger"


def answers_text(row: Row, reference: Row, *, in_full: bool = False) -> str:
    """What it costs in accuracy; how close its outputs are where nothing is labelled."""
    accuracy = row.record.accuracy
    if accuracy is None or accuracy.ratio.value is None:
        note = "no labels: judged by outputs only" if in_full else "no labels"
        return f"{closeness_text(row)} ({note})"
    before = reference.record.accuracy.ratio.value if reference.record.accuracy is not None else None
    own = format_percent(accuracy.ratio.value)
    change = change_text(accuracy)
    if in_full:
        change = f"({change}, McNemar {p_value_text(accuracy)})"
    return (
        f"accuracy {own if before is None else f'{format_percent(before)} → {own}'}{' ' if in_full else ', '}{change}"
    )


def change_text(accuracy: Accuracy) -> str:
    """Points gained or lost on the same samples, with the 95 % interval of the paired difference."""
    change = accuracy_change(accuracy)
    return f"{format_points(change.value or 0.0)} points{_signed_interval(change.interval)}"


def points_text(accuracy: Accuracy) -> str:
    """The same in a column of points."""
    return change_text(accuracy).replace(" points", "")


def p_value_text(accuracy: Accuracy) -> str:
    """McNemar's exact test on the samples on which the two differ."""
    if accuracy.p_value is None:
        return "not tested"
    return "p <0.001" if accuracy.p_value < 0.001 else f"p {accuracy.p_value:.{2 if accuracy.p_value > 0.1 else 3}f}"


def _signed_interval(interval: Interval | None) -> str:
    return "" if interval is None else f" [{format_points(interval.low)}, {format_points(interval.high)}]"


def _is_less_accurate(row: Row) -> bool:
    if row.record.accuracy is None:
        return False
    interval = accuracy_change(row.record.accuracy).interval
    return interval is not None and interval.high < 0


def _own_accuracy_text(row: Row) -> str:
    accuracy = row.record.accuracy
    if accuracy is None or accuracy.ratio.value is None:
        return "no labels"
    return f"accuracy {format_percent(accuracy.ratio.value)}"


def _memory_text(row: Row, reference: Row) -> str:
    own, before = row.record.costs.peak_memory_bytes, reference.record.costs.peak_memory_bytes
    return format_bytes(own) if before is None else f"{format_bytes(before)} → {format_bytes(own)}"


def _keep_sentence(section: Section, reference: Row) -> str:
    if len(section.rows) == 1:
        return f"{reference.variant} takes {p50_text(reference)}; there is nothing to compare it with"
    said = f"keep {reference.variant}: nothing is decidedly faster by 5 %"
    compared = [row for row in section.rows if row.is_ok and row is not reference and row.ratio.value is not None]
    closest = min(compared, key=lambda row: (row.ratio.value or 0.0, row.variant), default=None)
    if closest is None:
        return said
    return f"{said}; closest is {closest.variant}, {turned_ratio_text(closest, 'as fast')}, {closest.standing}"


def _also(section: Section) -> tuple[str, ...]:
    """Rivals in speed, and what needs less of a resource."""
    decision = section.decision
    told = []
    if decision.rivals:
        told.append(f"speed not told apart: {', '.join(_named(section, row) for row in decision.rivals)}")
    smallest, leanest = decision.smallest, decision.least_memory
    if smallest is not None and smallest is leanest:
        needs = f"{format_bytes(smallest.size_bytes)}, {_memory(smallest)}"
        told.append(f"smallest and least memory: {_named(section, smallest, needs)}")
    else:
        if smallest is not None:
            told.append(f"smallest: {_named(section, smallest, format_bytes(smallest.size_bytes))}")
        if leanest is not None:
            told.append(f"least memory: {_named(section, leanest, _memory(leanest))}")
    return tuple(told)


def _memory(row: Row) -> str:
    return f"{format_bytes(row.record.costs.peak_memory_bytes)} of memory"


def _named(section: Section, row: Row, needs: str = "") -> str:
    """A variant with what decides whether one would rather take it."""
    if row is section.reference:
        facts = [needs, "the reference"]
    else:
        speed, accuracy = speed_up(row).value, row.record.accuracy
        facts = [
            needs,
            "" if speed is None else f"{_times(speed)} as fast",
            "inconclusive" if row.standing == "inconclusive" else "",
            closeness_text(row) if accuracy is None else change_text(accuracy).split(" [")[0],
        ]
    return f"{row.variant} ({', '.join(fact for fact in facts if fact)})"


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x" if ratio < 100 else f"{ratio:.0f}x"
