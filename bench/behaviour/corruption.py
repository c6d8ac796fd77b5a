"""Inputs as they must not be: what NaN, infinity, zeros, huge values and unknown ids do to the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.core.behaviour import CheckResult
from bench.core.errors import TargetError

from .subject import Subject, same_answers, statement

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_EXTREME = 1e6
_UNKNOWN_ID = 2**30


def zeros(subject: Subject) -> CheckResult:
    """All-zero inputs are valid inputs: the answers must be finite."""
    batch = {name: np.zeros_like(values) for name, values in subject.batch.items()}
    try:
        spoilt = _not_finite(subject.run(batch))
    except TargetError as error:
        return statement("zeros", "failed", f"all-zero inputs end in an error: {error.message}")
    if spoilt:
        return statement("zeros", "failed", f"all-zero inputs give {spoilt} values that are not finite")
    return statement("zeros", "passed", "all-zero inputs give finite answers")


def not_a_number(subject: Subject) -> CheckResult:
    """One corrupt sample may spoil its own answer, never its neighbours' or the next call's."""
    return _one_corrupt_sample(subject, "not_a_number", float("nan"), "NaN")


def infinity(subject: Subject) -> CheckResult:
    """The same with infinite values."""
    return _one_corrupt_sample(subject, "infinity", float("inf"), "infinity")


def extreme_values(subject: Subject) -> CheckResult:
    """Values a million times too large: overflow to infinity or NaN is worth knowing."""
    if not _floats(subject.batch):
        return statement("extreme_values", "skipped", "the model has no floating input")
    batch = {name: values * _factor(values) for name, values in subject.batch.items()}
    what = f"inputs times {_EXTREME:g}"
    try:
        spoilt = _not_finite(subject.run(batch))
    except TargetError as error:
        return statement("extreme_values", "warned", f"{what} are refused: {error.message}")
    if spoilt:
        return statement("extreme_values", "warned", f"{what} give {spoilt} values that are not finite")
    return statement("extreme_values", "passed", f"{what} give finite answers")


def ids_out_of_range(subject: Subject) -> CheckResult:
    """Ids beyond every table must be refused: an answer would come from memory that is not the model's."""
    ids = [name for name, values in subject.batch.items() if values.dtype.kind in "iu" and "mask" not in name]
    if not ids:
        return statement("ids_out_of_range", "skipped", "the model has no integer input")
    batch = {
        name: np.full_like(values, _UNKNOWN_ID) if name in ids else values for name, values in subject.batch.items()
    }
    try:
        subject.run(batch)
    except TargetError as error:
        return statement("ids_out_of_range", "passed", f"refused: {error.message}")
    return statement(
        "ids_out_of_range", "warned", f"ids of {_UNKNOWN_ID} in {', '.join(ids)} are answered, not refused"
    )


def _one_corrupt_sample(subject: Subject, check: str, value: float, word: str) -> CheckResult:
    if not _floats(subject.batch):
        return statement(check, "skipped", "the model has no floating input")
    before = subject.run(subject.batch)
    batch = {name: _first_sample_set(values, value) for name, values in subject.batch.items()}
    try:
        answers: Mapping[str, Array] | None = subject.run(batch)
        refusal = ""
    except TargetError as error:
        answers, refusal = None, error.message
    after = subject.run(subject.batch)
    if not same_answers(before, after, subject.tolerance):
        return statement(check, "failed", f"after {word} in one call, clean inputs get other answers than before")
    if answers is None:
        return statement(check, "passed", f"{word} is refused, and the next call is right: {refusal}")
    neighbours = {name: (before[name][1:], values[1:]) for name, values in answers.items() if len(values) > 1}
    spoilt = [name for name, (clean, now) in neighbours.items() if not _equal(clean, now, subject)]
    if spoilt:
        return statement(check, "failed", f"{word} in one sample changes its neighbours' {', '.join(spoilt)}")
    if all(np.isfinite(values[:1]).all() for values in answers.values() if _is_float(values)):
        return statement(
            check, "warned", f"{word} in a sample is hidden: its answer is finite and looks like any other"
        )
    return statement(check, "passed", f"{word} shows in the answer of its own sample and nowhere else")


def _equal(clean: Array, now: Array, subject: Subject) -> bool:
    return same_answers({"": clean}, {"": now}, subject.tolerance)


def _first_sample_set(values: Array, value: float) -> Array:
    if not _is_float(values):
        return values
    changed = values.copy()
    changed[0] = value
    return changed


def _factor(values: Array) -> Array:
    """Of the values' own type: numbers are blown up, ids and masks stay."""
    factor: Array = values.dtype.type(_EXTREME if _is_float(values) else 1)
    return factor


def _floats(batch: Batch) -> bool:
    return any(_is_float(values) for values in batch.values())


def _is_float(values: Array) -> bool:
    return values.dtype.kind == "f"


def _not_finite(answers: Mapping[str, Array]) -> int:
    return sum(int(np.count_nonzero(~np.isfinite(values))) for values in answers.values() if _is_float(values))


CORRUPTIONS: Mapping[str, Callable[[Subject], CheckResult]] = {
    check.__name__: check for check in (zeros, not_a_number, infinity, extreme_values, ids_out_of_range)
}
