"""What is found when a model is given what users really send: corrupted, extreme, repeated and regrouped inputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .errors import MatrixError

#: In the order in which they are made; the last one needs a second process.
CHECKS = (
    "answers",
    "determinism",
    "batch_invariance",
    "distinct_outputs",
    "output_range",
    "zeros",
    "not_a_number",
    "infinity",
    "extreme_values",
    "ids_out_of_range",
    "known_cases",
    "round_trip",
)


_RANGE = re.compile(r"(?P<output>[^=]+)=(?P<low>[^:]*):(?P<high>[^:]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputRange:
    """The values that an output may have, both ends included."""

    output: str
    low: float
    high: float


def output_range(text: str) -> OutputRange:
    """`OUTPUT=LOW:HIGH`; an end that is left out is infinite. MatrixError for anything else."""
    match = _RANGE.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        low, high = float(match["low"] or "-inf"), float(match["high"] or "inf")
    except ValueError as error:
        raise MatrixError(f"{text!r} is not a range of an output", hint="write it as OUTPUT=LOW:HIGH") from error
    return OutputRange(output=match["output"], low=low, high=high)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """One check of one variant: `warned` is worth knowing and no fault, `skipped` does not apply to this model."""

    check: str
    status: Literal["passed", "warned", "failed", "skipped"]
    text: str
