"""Whether a variant still gives the reference's answers, and how many labelled samples it gets right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.cell import Tolerance
from bench.core.results import Accuracy, Estimate, Fidelity, Interval, OutputFidelity

Array = NDArray[Any]
#: Canonical output name -> one array per input batch of the pool.
Outputs = Mapping[str, Sequence[Array] | Array]

_CONFIDENCE = 0.95
_COMPARABLE_KINDS = "biuf"
#: How far two runs on the same input may differ where the tolerance does not say.
_REPEAT_RELATIVE_ERROR = 1e-3
#: Stands in for a reference that is all zeros: any error is then as good as infinite, yet a number JSON can hold.
_SMALLEST = float(np.finfo(np.float32).tiny)


def compare_outputs(reference: Outputs, variant: Outputs, repeat: Outputs | None, tolerance: Tolerance) -> Fidelity:
    """The variant's outputs against the reference's on the same inputs; `repeat` is the variant's second run on them.

    The first axis of each array is the batch. Outputs are matched by name. What cannot be compared, is outside the
    tolerance, or cannot be judged by any limit that the tolerance sets, is the `problem`.
    """
    deterministic = _determinism(variant, repeat, tolerance)
    problem = _mismatch(reference, variant)
    if problem:
        return Fidelity(outputs=(), deterministic=deterministic, passed=False, problem=problem)
    outputs = tuple(_compare_output(name, reference[name], variant[name]) for name in reference)
    problems = [text for output in outputs for text in _problems(output, variant[output.name], reference, tolerance)]
    if deterministic == "unstable" and tolerance.relative_error is not None:
        problems.append("two runs on the same inputs differ by more than the tolerance")
    return Fidelity(outputs=outputs, deterministic=deterministic, passed=not problems, problem="; ".join(problems))


def accuracy(predictions: Array, labels: Array, reference_predictions: Array, *, metric: str = "top-1") -> Accuracy:
    """Share of right predictions with its Wilson interval, and McNemar's exact test against the reference.

    One prediction per label. ValueError: the lengths differ or there is nothing to judge.
    """
    if not len(predictions) == len(labels) == len(reference_predictions) or len(labels) == 0:
        raise ValueError(
            f"{len(predictions)} predictions and {len(reference_predictions)} of the reference for {len(labels)} labels"
        )
    from scipy import stats

    right, reference_right = predictions == labels, reference_predictions == labels
    correct, total = int(right.sum()), len(labels)
    low, high = stats.binomtest(correct, total).proportion_ci(_CONFIDENCE, method="wilson")
    reference_only, variant_only = int((reference_right & ~right).sum()), int((right & ~reference_right).sum())
    discordant = reference_only + variant_only
    return Accuracy(
        correct=correct,
        total=total,
        ratio=Estimate(
            value=correct / total,
            interval=Interval(low=float(low), high=float(high), confidence=_CONFIDENCE),
        ),
        metric=metric,
        reference_only_right=reference_only,
        variant_only_right=variant_only,
        p_value=float(stats.binomtest(variant_only, discordant, 0.5).pvalue) if discordant else 1.0,
    )


def accuracy_problem(measured: Accuracy, tolerance: Tolerance) -> str:
    """Why the accuracy lost against the reference is more than tolerated; empty when it is not."""
    lost = (measured.reference_only_right - measured.variant_only_right) / measured.total
    if tolerance.accuracy_loss_ratio is None or lost <= tolerance.accuracy_loss_ratio:
        return ""
    return f"accuracy falls by {lost:.2%} of the samples, more than {tolerance.accuracy_loss_ratio:.2%}"


def size_problem(size_bytes: int, reference_size_bytes: int, tolerance: Tolerance) -> str:
    """Why a model is too small to hold the reference's weights; empty when it is not."""
    if tolerance.min_size_ratio is None or size_bytes >= tolerance.min_size_ratio * reference_size_bytes:
        return ""
    return (
        f"its files hold {size_bytes} bytes, the reference's {reference_size_bytes}: "
        f"less than {tolerance.min_size_ratio:.2%} of them, so weights are missing"
    )


def _mismatch(reference: Outputs, variant: Outputs) -> str:
    """Why the two cannot be compared value by value; empty when they can."""
    if reference.keys() != variant.keys():
        return f"outputs are called {sorted(variant)}, the reference's {sorted(reference)}"
    for name in reference:
        if len(reference[name]) == 0:
            return f"output {name!r} of the reference has no batches"
        if len(reference[name]) != len(variant[name]):
            return f"output {name!r} has {len(variant[name])} batches, the reference's {len(reference[name])}"
        for expected, actual in zip(reference[name], variant[name], strict=True):
            if expected.shape != actual.shape:
                return f"output {name!r} has the shape {actual.shape}, the reference's {expected.shape}"
            for dtype in (expected.dtype, actual.dtype):
                if dtype.kind not in _COMPARABLE_KINDS:
                    return f"output {name!r} holds {dtype}, which cannot be compared by value"
    return ""


def _compare_output(name: str, reference: Sequence[Array] | Array, variant: Sequence[Array] | Array) -> OutputFidelity:
    values = not_finite = compared = 0
    max_error = total_error = max_reference = 0.0
    cosines: list[float] = []
    single_numbers: list[tuple[Array, Array]] = []
    agreements: list[NDArray[np.bool_]] = []
    has_classes = reference[0].dtype.kind == "f" and reference[0].ndim == 2 and reference[0].shape[-1] > 1
    for expected, actual in _as_floats(reference, variant):
        values += actual.size
        not_finite += int(np.count_nonzero(~np.isfinite(actual)))
        both = np.isfinite(expected) & np.isfinite(actual)
        if both.any():
            errors = np.abs(actual[both] - expected[both])
            compared += errors.size
            max_error, total_error = max(max_error, float(errors.max())), total_error + float(errors.sum())
            max_reference = max(max_reference, float(np.abs(expected[both]).max()))
        if both.all() and both.size:
            if math.prod(expected.shape[1:]) == 1:
                single_numbers.append((expected.reshape(-1), actual.reshape(-1)))
            else:
                cosines += _cosines(expected, actual)
            if has_classes:
                agreements.append(expected.argmax(-1) == actual.argmax(-1))
    cosines += _cosine_over_samples(single_numbers)
    return OutputFidelity(
        name=name,
        max_abs_error=max_error if compared else None,
        mean_abs_error=total_error / compared if compared else None,
        relative_error=max_error / max(max_reference, _SMALLEST) if compared else None,
        cosine=float(np.mean(cosines)) if cosines else None,
        top1_agreement_ratio=float(np.mean(np.concatenate(agreements))) if agreements else None,
        not_finite=not_finite,
        values=values,
    )


def _as_floats(first: Sequence[Array] | Array, second: Sequence[Array] | Array) -> Iterator[tuple[Array, Array]]:
    for left, right in zip(first, second, strict=True):
        yield np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)


def _cosines(expected: Array, actual: Array) -> list[float]:
    """Cosine of the angle between the two for each sample.

    Two zero vectors agree (1), a zero and another do not (0).
    """
    left, right = (array.reshape(array.shape[0], -1) for array in (expected, actual))
    norms = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    products = norms[0] * norms[1]
    dots = np.einsum("ij,ij->i", left, right)
    zero = np.where((norms[0] == 0) & (norms[1] == 0), 1.0, 0.0)
    cosines = np.where(products > 0, dots / np.where(products > 0, products, 1), zero)
    return [float(value) for value in np.clip(cosines, -1, 1)]  # rounding reaches just beyond


def _cosine_over_samples(batches: Sequence[tuple[Array, Array]]) -> list[float]:
    """One cosine over all samples of all batches, for samples of a single number: alone, each has a cosine of 1 or -1.

    Empty where there is only one number in all.
    """
    if sum(expected.size for expected, _ in batches) < 2:
        return []
    expected, actual = (np.concatenate(side)[np.newaxis] for side in zip(*batches, strict=True))
    return _cosines(expected, actual)


def _unmatched(reference: Sequence[Array] | Array, variant: Sequence[Array] | Array) -> tuple[int, int]:
    """How many values are NaN or infinite and not so in the reference, and how many are finite where its are not."""
    spoilt = hidden = 0
    for expected, actual in _as_floats(reference, variant):
        spoilt += int(np.count_nonzero(~np.isfinite(actual) & (actual != expected)))
        hidden += int(np.count_nonzero(np.isfinite(actual) & ~np.isfinite(expected)))
    return spoilt, hidden


def _problems(
    output: OutputFidelity, variant: Sequence[Array] | Array, reference: Outputs, tolerance: Tolerance
) -> Iterator[str]:
    """In words, each way in which one output is not good enough."""
    spoilt, hidden = _unmatched(reference[output.name], variant)
    if spoilt:
        yield f"output {output.name!r}: {spoilt} of {output.values} values not finite"
    if hidden:
        yield f"output {output.name!r}: {hidden} of {output.values} values are finite where the reference's are not"
    if not spoilt and not hidden:
        if output.max_abs_error is None and output.values:
            yield f"output {output.name!r}: no finite value to compare"
        else:
            yield from _not_judged(output, tolerance)
    limits = (
        ("relative error", output.relative_error, tolerance.relative_error, 1),
        ("cosine", output.cosine, tolerance.cosine, -1),
        ("top-1 agreement", output.top1_agreement_ratio, tolerance.top1_agreement_ratio, -1),
    )
    for what, value, limit, sign in limits:
        if value is not None and limit is not None and sign * value > sign * limit:
            relation = "above" if sign > 0 else "below"
            yield f"output {output.name!r}: {what} {value:.3g} is {relation} {limit:.3g}"


def _not_judged(output: OutputFidelity, tolerance: Tolerance) -> Iterator[str]:
    """Why none of the limits that the tolerance sets can be held against the output; nothing where one can."""
    needs = {
        "cosine": "cosine needs two values or more, and a batch in which all are finite",
        "top1_agreement_ratio": "top1_agreement_ratio needs floating scores of shape (batch, classes), all finite",
    }
    limited = [name for name in ("relative_error", *needs) if getattr(tolerance, name) is not None]
    if not limited or any(getattr(output, name) is not None for name in limited):
        return
    if output.values == 0:
        why = "it holds no values; check with inputs that give it some, or leave it out of the model"
    else:
        others = [name for name in ("cosine", "relative_error") if getattr(output, name) is not None]
        why = f"{', and '.join(needs[name] for name in limited)}; set a limit for {' or '.join(others)} as well"
    yield f"output {output.name!r} cannot be judged by {' or '.join(limited)}: {why}"


def _determinism(
    first: Outputs, second: Outputs | None, tolerance: Tolerance
) -> Literal["bitwise", "within tolerance", "unstable", "not judged"]:
    if second is None:
        return "not judged"
    if _mismatch(first, second):
        return "unstable"
    pairs = [pair for name in first for pair in zip(first[name], second[name], strict=True)]
    if all(left.dtype == right.dtype and left.tobytes() == right.tobytes() for left, right in pairs):
        return "bitwise"
    allowed = _REPEAT_RELATIVE_ERROR if tolerance.relative_error is None else tolerance.relative_error
    outputs = [_compare_output(name, first[name], second[name]) for name in first]
    steady = all(
        output.not_finite == 0
        and _unmatched(first[output.name], second[output.name]) == (0, 0)
        and output.relative_error is not None
        and output.relative_error <= allowed
        for output in outputs
    )
    return "within tolerance" if steady else "unstable"
