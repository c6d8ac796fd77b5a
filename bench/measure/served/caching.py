"""Does a server remember answers by their input? Requests with new inputs in turn with one that it has seen."""

from __future__ import annotations

from bench.core.requests import Requests
from bench.core.results import Estimate
from bench.measure.statistics import over_rounds

from .columns import is_answered

_MIN_PAIRS = 3


def caching_ratio(requests: Requests, *, repeated: int) -> Estimate:
    """Service time of new inputs over that of the input `repeated`, one ratio for each pair of neighbours.

    Geometric mean with a Student t interval over pairs; well above 1: answers are remembered by input. Which of a pair
    came first must alternate (`in_pairs`), or what the first one costs would be taken for the new input's.
    """
    service_ns = (requests.done_ns - requests.sent_ns).astype(float)
    answered = is_answered(requests)
    ratios = []
    for place in range(0, len(service_ns) - 1, 2):
        pair = [place, place + 1]
        new = [each for each in pair if requests.input[each] != repeated]
        if len(new) == 1 and answered[pair].all():
            (old,) = set(pair) - set(new)
            ratios.append(max(service_ns[new[0]], 1.0) / max(service_ns[old], 1.0))
    if len(ratios) < _MIN_PAIRS:
        return Estimate(value=None, reason=f"only {len(ratios)} new inputs could be compared with a repeated one")
    return over_rounds(ratios)


def in_pairs(inputs: int, *, repeated: int = 0) -> list[int]:
    """Every input but `repeated` once, each beside `repeated`, first and second in turn."""
    new = [number for number in range(inputs) if number != repeated]
    return [each for place, number in enumerate(new) for each in ((number, repeated), (repeated, number))[place % 2]]
