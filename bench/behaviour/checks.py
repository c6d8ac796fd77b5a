"""The checks by name: `make_check` makes one on a subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bench.core.behaviour import CheckResult
from bench.core.errors import TargetError

from .corruption import CORRUPTIONS
from .subject import Subject, relative_error, same_answers, statement

if TYPE_CHECKING:
    from bench.core.contracts import Array

_SHOWN_CASES = 5


def make_check(name: str, subject: Subject) -> CheckResult:
    """Make one check; an error of the model on valid inputs is a failure, not an end."""
    try:
        return _CHECKS[name](subject)
    except TargetError as error:
        return statement(name, "failed", f"the model cannot answer valid inputs: {error.message}")


def _answers(subject: Subject) -> CheckResult:
    """Valid inputs get finite answers."""
    answers = [subject.run(batch) for batch in subject.pool]
    spoilt = sum(int(np.count_nonzero(~np.isfinite(v))) for a in answers for v in a.values() if v.dtype.kind == "f")
    if spoilt:
        return statement(
            "answers", "failed", f"{spoilt} values are not finite on {len(answers)} batches of valid inputs"
        )
    return statement("answers", "passed", f"finite answers to {len(answers)} batches")


def _determinism(subject: Subject) -> CheckResult:
    first, second = ([subject.run(batch) for batch in subject.pool] for _ in range(2))
    errors = [relative_error(one, other) for one, other in zip(first, second, strict=True)]
    if all(_bitwise(one, other) for one, other in zip(first, second, strict=True)):
        return statement("determinism", "passed", "the same inputs give the same bits")
    text = f"the same inputs give answers that differ by {max(errors):.2g}"
    return statement("determinism", "warned" if max(errors) <= max(subject.tolerance, 1e-6) else "failed", text)


def _batch_invariance(subject: Subject) -> CheckResult:
    """A sample's answer must not depend on its neighbours."""
    if subject.fixed_batch:
        only = f"the model takes batches of {subject.fixed_batch} and no single samples"
        return statement("batch_invariance", "skipped", only)
    together = subject.run(subject.batch)
    size = len(next(iter(subject.batch.values())))
    if size < 2:
        return statement("batch_invariance", "skipped", "the model takes one sample at a time")
    alone = [subject.run({name: values[i : i + 1] for name, values in subject.batch.items()}) for i in range(size)]
    error = relative_error(together, {name: np.concatenate([a[name] for a in alone]) for name in together})
    text = f"a sample alone and among {size - 1} others: answers differ by {error:.2g}"
    if error <= 1e-4:
        return statement("batch_invariance", "passed", text)
    return statement("batch_invariance", "warned" if error <= subject.tolerance else "failed", text)


def _distinct_outputs(subject: Subject) -> CheckResult:
    """A model that gives every input the same answer has lost its weights."""
    if len(subject.pool) < 2:
        return statement("distinct_outputs", "skipped", "there is one input only")
    answers = [subject.run(batch) for batch in subject.pool]
    constant = [name for name in answers[0] if all(_same(answers[0][name], other[name]) for other in answers[1:])]
    if constant:
        return statement("distinct_outputs", "failed", f"{', '.join(constant)}: the same answer to every input")
    return statement("distinct_outputs", "passed", f"{len(answers)} inputs, {len(answers)} different answers")


def _output_range(subject: Subject) -> CheckResult:
    answers = [subject.run(batch) for batch in subject.pool]
    seen = {
        name: (min(float(np.nanmin(a[name])) for a in answers), max(float(np.nanmax(a[name])) for a in answers))
        for name in answers[0]
        if answers[0][name].dtype.kind in "fiu" and answers[0][name].size
    }
    told = ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in seen.items())
    for wanted in subject.ranges:
        if wanted.output not in seen:
            return statement("output_range", "failed", f"there is no numeric output {wanted.output!r}; seen: {told}")
        low, high = seen[wanted.output]
        if low < wanted.low or high > wanted.high:
            outside = f"{wanted.output} is {low:.4g} to {high:.4g}, beyond {wanted.low:g} to {wanted.high:g}"
            return statement("output_range", "failed", outside)
    return statement("output_range", "passed" if subject.ranges else "skipped", f"seen: {told}")


def _known_cases(subject: Subject) -> CheckResult:
    """Samples whose answer is known, such as those that once went wrong."""
    if subject.labels is None or subject.predict is None:
        return statement("known_cases", "skipped", "no cases were given")
    predictions = np.concatenate([subject.predict(subject.run(batch))[:count] for batch, count in subject.cases])
    wrong = np.flatnonzero(predictions != subject.labels)
    total = len(subject.labels)
    if not len(wrong):
        return statement("known_cases", "passed", f"all {total} known cases come out right")
    shown = "; ".join(f"case {i}: {predictions[i]}, not {subject.labels[i]}" for i in wrong[:_SHOWN_CASES])
    more = f" and {len(wrong) - _SHOWN_CASES} more" if len(wrong) > _SHOWN_CASES else ""
    return statement("known_cases", "failed", f"{len(wrong)} of {total} known cases come out wrong: {shown}{more}")


def _round_trip(subject: Subject) -> CheckResult:
    """A copy of the model, opened in another process, gives the answers that the first one gave."""
    if same_answers(subject.before, subject.run(subject.batch), 0):
        return statement("round_trip", "passed", "a copy in a fresh process gives the same answers")
    error = relative_error(subject.before, subject.run(subject.batch))
    return statement("round_trip", "failed", f"a copy in a fresh process gives answers that differ by {error:.2g}")


def _bitwise(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return all(_same(one[name], other[name]) for name in one)


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


_CHECKS: Mapping[str, Callable[[Subject], CheckResult]] = {
    "answers": _answers,
    "determinism": _determinism,
    "batch_invariance": _batch_invariance,
    "distinct_outputs": _distinct_outputs,
    "output_range": _output_range,
    **CORRUPTIONS,
    "known_cases": _known_cases,
    "round_trip": _round_trip,
}
