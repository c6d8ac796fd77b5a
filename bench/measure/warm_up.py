"""When a model is warm: found while it warms up, then checked afterwards on the timed blocks."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.core.block import Block
from bench.core.cell import Measurement

from .change_points import MERGE_RATIO, MIN_SEGMENT, Floats, autocorrelation, change_points, levels
from .loop import time_calls_rotating
from .percentiles import block_percentile_ns

WarmUpClass = Literal["flat", "warm-up", "slowdown", "no-steady-state", "not judged"]

_CHUNK_S = 0.05
_MIN_CHUNKS = 3
#: The last level must last this share of the series to count as where it settled.
_STEADY_SHARE = 0.2
#: Neighbours this alike, in a series without a change of level, mean that it wanders.
_WANDERING_AUTOCORRELATION = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """What the warm-up showed: `estimate_ns` is the last chunk's p25; not `settled`: `warm_up_max_s` came first."""

    calls: int
    elapsed_ns: int
    first_call_ns: int
    estimate_ns: int
    settled: bool


def warm_up(
    bound: Sequence[Callable[[], Any]],
    measurement: Measurement,
    *,
    now_ns: Callable[[], int] = time.perf_counter_ns,
) -> WarmUp:
    """Call in turn through `bound` in chunks of about 50 ms until `has_settled`, or until `warm_up_max_s` is over."""
    started_ns = now_ns()
    first_call_ns = time_calls_rotating(bound, 1, now_ns=now_ns)[0]
    calls, estimate_ns = 1, first_call_ns
    chunk_p25s_ns: list[float] = []
    while True:
        chunk_calls = min(max(1, math.floor(_CHUNK_S * 1e9 / max(estimate_ns, 1))), 2 * calls)
        turn = calls % len(bound)
        chunk_ns = time_calls_rotating([*bound[turn:], *bound[:turn]], chunk_calls, now_ns=now_ns)
        calls += chunk_calls
        estimate_ns = round(float(np.percentile(chunk_ns, 25)))
        chunk_p25s_ns.append(estimate_ns)
        elapsed_ns = now_ns() - started_ns
        settled = has_settled(chunk_p25s_ns, calls, elapsed_ns / 1e9, measurement)
        if settled or elapsed_ns >= measurement.warm_up_max_s * 1e9:
            return WarmUp(
                calls=calls,
                elapsed_ns=elapsed_ns,
                first_call_ns=first_call_ns,
                estimate_ns=estimate_ns,
                settled=settled,
            )


def has_settled(chunk_p25s_ns: Sequence[float], calls: int, elapsed_s: float, measurement: Measurement) -> bool:
    """Whether the calls have stopped getting faster: the last third of the chunks is within 3 % of the third before.

    Not before `warm_up_min_calls` calls and `warm_up_min_s` seconds. Getting slower is no reason to wait longer.
    """
    third = len(chunk_p25s_ns) // 3
    if len(chunk_p25s_ns) < _MIN_CHUNKS:
        return False
    if calls < measurement.warm_up_min_calls or elapsed_s < measurement.warm_up_min_s:
        return False
    before, last = chunk_p25s_ns[-2 * third : -third], chunk_p25s_ns[-third:]
    return bool(np.median(last) * (1 + MERGE_RATIO) >= np.median(before))


def classify(block_p25s: ArrayLike) -> tuple[WarmUpClass, int]:
    """How the speed develops over the blocks, and the index of the first block of the steady level.

    `block_p25s` has the shape (blocks,), or (rounds, blocks): a change that belongs to the code shows at the same
    block of most rounds. "warm-up": ever faster until it settles; "slowdown": settles above its fastest level;
    "no-steady-state": back and forth, wandering, or still moving at the end; "not judged": fewer than six blocks.
    Without a steady level the index is 0.
    """
    series = np.atleast_2d(np.asarray(block_p25s, dtype=np.float64))
    blocks = series.shape[1]
    if blocks < 2 * MIN_SEGMENT:
        return "not judged", 0
    profile = np.median(np.log(series) - np.median(np.log(series), axis=1, keepdims=True), axis=0)
    starts = change_points(series)
    if not starts:
        return ("no-steady-state", 0) if _wanders(profile) else ("flat", 0)
    last = profile[starts[-1] :]
    if len(last) < max(MIN_SEGMENT, math.ceil(_STEADY_SHARE * blocks)) or _still_moves(last):
        return "no-steady-state", 0
    medians = levels(series, starts)
    ups = [after > before for before, after in itertools.pairwise(medians)]
    if not any(ups):
        return "warm-up", starts[-1]
    return ("slowdown", starts[-1]) if all(ups[ups.index(True) :]) else ("no-steady-state", 0)


def steady_rounds(rounds: Sequence[Sequence[Block]]) -> tuple[WarmUpClass, list[list[Block]]]:
    """The class of a cell, and its rounds without the blocks before the steady level; empty ones are left out."""
    counted = [[block for block in blocks if block.steady_ns] for blocks in rounds]
    counted = [blocks for blocks in counted if blocks]
    if not counted:
        return "not judged", []
    shortest = min(len(blocks) for blocks in counted)
    kind, place = classify([[block_percentile_ns(block, 25) for block in blocks[:shortest]] for blocks in counted])
    return kind, [blocks[place:] for blocks in counted]


def _wanders(profile: Floats) -> bool:
    """Whether a profile without a change of level goes up and down by more than 3 % in long waves."""
    low, high = np.percentile(profile, [10, 90])
    return bool(high - low > math.log1p(MERGE_RATIO) and autocorrelation(profile) > _WANDERING_AUTOCORRELATION)


def _still_moves(segment: Floats) -> bool:
    """Whether the halves of a segment differ by more than 3 % and by more than their noise explains."""
    half = len(segment) // 2
    drift = abs(float(np.median(segment[-half:]) - np.median(segment[:half])))
    noise = float(np.std(np.diff(segment))) / math.sqrt(2)
    error_of_drift = 1.25 * noise * math.sqrt(2 / half)  # a median's standard error is 1.25 times a mean's
    return drift > max(math.log1p(MERGE_RATIO), 3 * error_of_drift)
