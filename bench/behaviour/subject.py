"""What is checked: a model that answers batches, valid inputs for it, and what its user expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.core.behaviour import CheckResult, OutputRange

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """`run` answers a batch, `pool` are batches of distinct valid inputs of one size, `tolerance` is the relative error
    that the variant may have; `fixed_batch` is the only size of a batch that the model takes, 0 where it takes others;
    `cases` are full batches and how many samples of each are real, `labels` what `predict` must give those."""

    run: Callable[[Batch], Mapping[str, Array]]
    pool: Sequence[Batch]
    tolerance: float
    fixed_batch: int = 0
    ranges: Sequence[OutputRange] = ()
    cases: Sequence[tuple[Batch, int]] = ()
    labels: Array | None = None
    predict: Callable[[Mapping[str, Array]], Array] | None = None
    before: Mapping[str, Array] = field(default_factory=dict)  # what another process answered to the first batch

    @property
    def batch(self) -> Batch:
        """The first batch of the pool."""
        return self.pool[0]


def statement(check: str, status: Literal["passed", "warned", "failed", "skipped"], text: str) -> CheckResult:
    """A result in one line."""
    return CheckResult(check=check, status=status, text=text)


def relative_error(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> float:
    """Largest difference over the largest expected value, of the worst output.

    Infinite where shapes, texts or the places of what is not finite differ.
    """
    worst = 0.0
    for name, values in expected.items():
        other = actual[name]
        if values.dtype.kind not in "fiub":
            if not np.array_equal(values, other):
                return float("inf")
            continue
        if values.shape != other.shape:
            return float("inf")
        if not np.array_equal(np.isfinite(values), np.isfinite(other)):
            return float("inf")
        finite = np.isfinite(values)
        if finite.any():
            a, b = values[finite].astype(float), other[finite].astype(float)
            worst = max(worst, float(np.abs(a - b).max() / max(np.abs(a).max(), np.finfo(float).tiny)))
    return worst


def same_answers(expected: Mapping[str, Array], actual: Mapping[str, Array], tolerance: float) -> bool:
    """Whether two answers differ by no more than rounding, or than the variant's own tolerance."""
    return relative_error(expected, actual) <= max(tolerance, _ROUNDING)
