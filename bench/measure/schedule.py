"""How long blocks are, in which order cells take turns, and how often the data may be looked at."""

from __future__ import annotations

import math
import random

from bench.core.cell import Measurement

from .loop import SETTLING_CALLS

_MIN_STEADY_CALLS = 3
_MAX_CALLS = 5000
#: Confidence of the interval by the number of looks planned. Bonferroni's 97.5 and 98.33 % keep the chance of calling
#: equal variants different within 5 % over all looks, however these depend on each other; rounded up, because processes
#: whose speed falls into two groups (page placement) make a t interval of five pairs cover less than it says.
_CONFIDENCE_OF_LOOK = {1: 0.95, 2: 0.98, 3: 0.985}


def calls_per_block(estimate_ns: float, measurement: Measurement, *, inputs: int = 1) -> int:
    """Calls of one block, settling calls included, for a model that needs about `estimate_ns` per call.

    The steady calls last at least `block_min_s` and are at least `block_min_calls`; the whole block lasts at most
    `block_max_s`, but keeps 3 steady calls however slow the model is, and has at most 5000 calls however fast.
    Where blocks go through several `inputs`, the steady calls are a multiple of them, `block_max_s` or not: every block
    of every variant then counts every input equally often.
    """
    estimate_s = max(estimate_ns, 1) / 1e9
    wanted = max(measurement.block_min_calls, math.ceil(measurement.block_min_s / estimate_s))
    affordable = math.floor(measurement.block_max_s / estimate_s) - SETTLING_CALLS
    steady = max(_MIN_STEADY_CALLS, min(wanted, affordable))
    most_passes = max(1, (_MAX_CALLS - SETTLING_CALLS) // inputs)
    return min(math.ceil(steady / inputs), most_passes) * inputs + SETTLING_CALLS


def block_orders(cells: int, blocks: int, seed: int) -> list[tuple[int, ...]]:
    """For each block index the order in which the cells run it: a random permutation, then its reverse, then anew.

    So over every two blocks each cell has the same mean position, and a linear drift of the machine cancels.
    """
    rng = random.Random(seed)
    orders: list[tuple[int, ...]] = []
    while len(orders) < blocks:
        order = tuple(rng.sample(range(cells), cells))
        orders += [order, order[::-1]]
    return orders[:blocks]


def looks(measurement: Measurement) -> tuple[int, ...]:
    """Numbers of rounds after which the data is looked at, at most three: from `rounds`, doubling, to `max_rounds`."""
    first, last = measurement.rounds, max(measurement.rounds, measurement.max_rounds)
    counts = [first]
    while counts[-1] < last:
        counts.append(min(2 * counts[-1], last))
    if len(counts) > max(_CONFIDENCE_OF_LOOK):
        counts = [first, round(math.sqrt(first * last)), last]
    return tuple(counts)


def look_confidence(looks_total: int) -> float:
    """Confidence of the interval at each of `looks_total` planned looks (1 to 3), so that all stay within 5 %."""
    return _CONFIDENCE_OF_LOOK[looks_total]
