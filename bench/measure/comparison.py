"""A variant against its reference: blocks paired inside a round, an interval between rounds, a verdict of three."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bench.core.block import Block
from bench.core.cell import Measurement
from bench.core.results import Comparison, Estimate, Interval

from .percentiles import block_percentile_ns
from .schedule import look_confidence
from .statistics import log_interval
from .warm_up import steady_rounds

Verdict = Literal["changed", "same", "inconclusive"]

#: What is compared: its place among the sorted calls hardly moves when neighbours take the processor away.
DECIDING_PERCENT = 25
_ONE_PAIR = "one pair of processes gives no interval: it takes two rounds or more"


def compare(
    reference_rounds: Sequence[Sequence[Block]],
    variant_rounds: Sequence[Sequence[Block]],
    *,
    reference_id: str,
    measurement: Measurement,
    look: int,
    looks_total: int,
) -> Comparison:
    """The ratio of latencies (variant over reference) with its interval, and the verdict, at look `look`, from 1.

    The unit is the pair of fresh processes of one round, matched by `Block.round`; blocks are matched by `Block.index`.
    Only rounds that both have count. The interval's confidence leaves room for `looks_total` looks.
    """
    pairs = paired_rounds(reference_rounds, variant_rounds)
    confidence = look_confidence(looks_total)
    logs = [pair_log_ratio(reference, variant) for reference, variant in pairs]
    return Comparison(
        reference_id=reference_id,
        ratio=ratio_estimate(logs, confidence),
        p50_ratio=ratio_estimate([pair_log_ratio(*pair, percent=50) for pair in pairs], confidence),
        verdict=verdict(logs, confidence, measurement),
        looks=look,
    )


def decided(comparison: Comparison) -> bool:
    """Whether further rounds are not needed."""
    return comparison.verdict != "inconclusive"


def paired_rounds(
    reference_rounds: Sequence[Sequence[Block]], variant_rounds: Sequence[Sequence[Block]]
) -> list[tuple[list[Block], list[Block]]]:
    """The steady blocks of both sides for each round in which both have blocks of the same index."""
    reference, variant = (
        {blocks[0].round: {block.index: block for block in blocks} for blocks in steady_rounds(rounds)[1]}
        for rounds in (reference_rounds, variant_rounds)
    )
    pairs = []
    for number in sorted(reference.keys() & variant.keys()):
        common = sorted(reference[number].keys() & variant[number].keys())
        if common:
            pairs.append(([reference[number][i] for i in common], [variant[number][i] for i in common]))
    return pairs


def pair_log_ratio(reference: Sequence[Block], variant: Sequence[Block], *, percent: float = DECIDING_PERCENT) -> float:
    """Median over the blocks of log(variant / reference) of the blocks' percentile, for one pair of processes."""
    ratios = [
        math.log(block_percentile_ns(after, percent) / block_percentile_ns(before, percent))
        for before, after in zip(reference, variant, strict=True)
    ]
    return float(np.median(ratios))


def ratio_estimate(log_ratios: Sequence[float], confidence: float) -> Estimate:
    """The ratio, exp of the mean over pairs, with the Student t interval between pairs (pairs - 1 d.f.)."""
    if len(log_ratios) == 0:
        return Estimate(value=None, reason="no round in which both have blocks")
    mean, half_width = log_interval(log_ratios, confidence)
    if half_width is None:
        return Estimate(value=math.exp(mean), reason=_ONE_PAIR)
    interval = Interval(low=math.exp(mean - half_width), high=math.exp(mean + half_width), confidence=confidence)
    return Estimate(value=math.exp(mean), interval=interval)


def verdict(log_ratios: Sequence[float], confidence: float, measurement: Measurement) -> Verdict:
    """changed: the interval excludes 1 and the effect is at least `min_effect_ratio`; same: the interval lies within
    `equivalence_ratio` of 1; otherwise inconclusive, as it always is for fewer than two pairs."""
    if len(log_ratios) == 0:
        return "inconclusive"
    mean, half_width = log_interval(log_ratios, confidence)
    if half_width is None:
        return "inconclusive"
    if abs(mean) > half_width and abs(mean) >= math.log1p(measurement.min_effect_ratio):
        return "changed"
    return "same" if abs(mean) + half_width < math.log1p(measurement.equivalence_ratio) else "inconclusive"
