"""The decision on the topologies of a model in words: which one to take under each load, and against what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from bench.core.units import format_ms, format_percent

from .decision import ServedDecision, cpu_us, p50_ms
from .row import ServedRow
from .section import ServedSection
from .words import cpu_text, estimate_text


@dataclass(frozen=True, kw_only=True)
class ServedHeadline:
    """What to take under one load: a sentence, and what else is worth a look."""

    sentence: str
    also: tuple[str, ...] = ()
    is_decided: bool = False


def headlines(section: ServedSection) -> tuple[ServedHeadline, ...]:
    """One for each load of a model."""
    return tuple(_headline(section, decision) for decision in section.decisions)


def _headline(section: ServedSection, decision: ServedDecision) -> ServedHeadline:
    load, taken, slo_ms = decision.rows[0].load, decision.taken, decision.slo_ms
    if taken is None:
        return ServedHeadline(sentence=f"{load}: {_nothing(section, decision)}")
    said = _lowest_p50(section, decision, taken) if slo_ms is None else _least_cpu(section, decision, taken, slo_ms)
    return ServedHeadline(sentence=f"{load}: {said}", also=tuple(_also(section, decision)), is_decided=True)


def _least_cpu(section: ServedSection, decision: ServedDecision, taken: ServedRow, slo_ms: float) -> str:
    kept = f"keeps p99 within {format_ms(slo_ms)} ({_p99(taken).removeprefix('p99 ')})"
    own = f"{section.under_load(taken)} {kept} with {_cpu(cpu_us(taken))} of server CPU a request"
    others = decision.ranked[1:]
    if not others:
        return f"{own}; {'no other is known to' if decision.is_choice else 'there is nothing to compare it with'}"
    return f"{own}, the least; most: {section.under_load(others[-1])}, {_against(others[-1], taken, cpu_us, _cpu)}"


def _lowest_p50(section: ServedSection, decision: ServedDecision, taken: ServedRow) -> str:
    own = f"{section.under_load(taken)} has a p50 of {_ms(p50_ms(taken))}"
    others = decision.ranked[1:]
    if not others:
        return f"{own}; there is nothing to compare it with"
    return f"{own}, the lowest; highest: {section.under_load(others[-1])}, {_against(others[-1], taken, p50_ms, _ms)}"


def _against(
    most: ServedRow, least: ServedRow, value: Callable[[ServedRow], float], text: Callable[[float], str]
) -> str:
    """A row's value, and how many times the least it is."""
    times = value(most) / value(least) if value(least) else inf
    return f"{text(value(most))} ({times:.2g}x)" if isfinite(times) else text(value(most))


def _cpu(used_us: float) -> str:
    return cpu_text(used_us) if isfinite(used_us) else "an unknown amount"


def _ms(value_ms: float) -> str:
    return format_ms(value_ms) if isfinite(value_ms) else "unknown length"


def _also(section: ServedSection, decision: ServedDecision) -> list[str]:
    told = []
    if decision.alike:
        names = ", ".join(f"{section.under_load(row)} ({_cpu(cpu_us(row))})" for row in decision.alike)
        told.append(f"hardly more CPU, within 10 %: {names}")
    if decision.missed:
        told.append(f"objective missed: {_with_p99(section, decision.missed)}")
    if decision.undecided:
        told.append(f"objective undecided: {_with_p99(section, decision.undecided)}")
    return told


def _with_p99(section: ServedSection, rows: Sequence[ServedRow]) -> str:
    return ", ".join(f"{section.under_load(row)} ({_p99(row)})" for row in rows)


def _p99(row: ServedRow) -> str:
    point = row.ranked
    assert point is not None  # noqa: S101  only ranked rows are told
    if point.p99_ms.value is None and point.goodput_ratio.value is not None:
        return f"{format_percent(point.goodput_ratio.value)} in time"
    return f"p99 {estimate_text(point.p99_ms)}"


def _nothing(section: ServedSection, decision: ServedDecision) -> str:
    """Why there is nothing to take."""
    near = (*decision.undecided, *decision.missed)
    if near and decision.slo_ms is not None:
        best = min(near, key=lambda row: (p50_ms(row), row.name))
        return (
            f"nothing is known to keep p99 within {format_ms(decision.slo_ms)}; lowest p50: "
            f"{section.under_load(best)}, {_ms(p50_ms(best))}, {_p99(best)}"
        )
    standings = [row.standing for row in decision.rows]
    counts = ", ".join(f"{standings.count(word)} {word}" for word in dict.fromkeys(standings))
    return f"no ranking, for no cell has numbers of its server ({counts})"
