"""A served variant beside itself in process: whether the answers are the same, and what the server costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

import numpy as np

from bench.core.block import Block
from bench.core.cell import Tolerance
from bench.core.results import Estimate, Interval
from bench.core.served import LoadPoint
from bench.measure.fidelity import compare_outputs
from bench.measure.statistics import over_rounds

from .checks import read_outputs


def agreement(in_process_path: str, served_path: str, tolerance: Tolerance) -> str:
    """How far served outputs are those in process on equal inputs: "bitwise", "within tolerance", or what differs."""
    inside, outside = read_outputs(in_process_path)["first"], read_outputs(served_path)["first"]
    if inside.keys() == outside.keys() and all(
        len(inside[name]) == len(outside[name]) and all(map(np.array_equal, inside[name], outside[name]))
        for name in inside
    ):
        return "bitwise"
    return compare_outputs(inside, outside, None, tolerance).problem or "within tolerance"


def in_process_p50(rounds: Sequence[Sequence[Block]]) -> Estimate:
    """The median of a call in process, over rounds of fresh processes."""
    if not rounds:
        return Estimate(value=None, reason="the variant was not measured in process")
    medians_ms = [float(np.median(np.concatenate([block.steady_ns for block in blocks]))) / 1e6 for blocks in rounds]
    return over_rounds(medians_ms)


def server_cost(alone: LoadPoint, in_process_p50_ms: Estimate) -> Estimate:
    """What serving adds to one request alone, in ms; the interval is that of a difference of independent estimates."""
    inside, outside = in_process_p50_ms, alone.p50_ms
    if inside.value is None or outside.value is None:
        return Estimate(value=None, reason=inside.reason or outside.reason)
    value = outside.value - inside.value
    if inside.interval is None or outside.interval is None:
        return Estimate(value=value, reason=inside.reason or outside.reason)
    half = hypot(_half_width(inside.interval), _half_width(outside.interval))
    return Estimate(
        value=value, interval=Interval(low=value - half, high=value + half, confidence=inside.interval.confidence)
    )


def _half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2
