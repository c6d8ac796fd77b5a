"""Does a server remember answers by their input? Requests with new inputs in turn with one that it has seen."""

from __future__ import annotations

import numpy as np

from bench.core.requests import Requests
from bench.core.results import Estimate
from bench.measure.statistics import over_rounds

from .columns import is_answered

_MIN_PAIRS = 3


def caching_ratio(requests: Requests, *, repeated: int) -> Estimate:
    """Service time of new inputs over that of the input `repeated`, one ratio for each pair of neighbours in order.

    Geometric mean with a Student t interval over pairs; well above 1: answers are remembered by input.
    """
    service_ns = (requests.done_ns - requests.sent_ns).astype(float)
    answered = is_answered(requests)
    ratios = [
        service_ns[place] / max(1.0, service_ns[place + 1])
        for place in range(0, len(service_ns) - 1, 2)
        if requests.input[place] != repeated and answered[place] and answered[place + 1]
    ]
    if len(ratios) < _MIN_PAIRS:
        return Estimate(value=None, reason=f"only {len(ratios)} new inputs could be compared with a repeated one")
    return over_rounds([float(ratio) for ratio in np.maximum(ratios, 1e-6)])
