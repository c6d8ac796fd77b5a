"""Verdicts where the truth is known: recorded A/A runs, processes with their own speeds, scaled busy-waits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.block import Block
from bench.core.cell import Measurement
from bench.measure.comparison import compare, decided, pair_log_ratio, verdict

Rounds = Callable[..., list[list[Block]]]
Decide = Callable[[Callable[[int, float], str]], str]

_DRAWS = 200


def _pair_ratios(latencies_ns: Any, rounds_of: Rounds) -> Any:
    """The log ratio of each recorded pair of equal sides."""
    sides = [rounds_of(latencies_ns[:, :, side]) for side in (0, 1)]
    return np.array([pair_log_ratio(first, second) for first, second in zip(*sides, strict=True)])


def _verdicts(ratios: Any, factor: float, until_decided: Decide, *, seed: int = 0) -> Counter[str]:
    """Verdicts of 200 draws of pairs, either side at random being the variant, which is `factor` slower."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for _ in range(_DRAWS):
        drawn = rng.choice(ratios, 20, replace=False) * rng.choice([-1, 1], 20) + math.log(factor)

        def look_at(rounds: int, confidence: float, drawn: Any = drawn) -> str:
            return verdict(list(drawn[:rounds]), confidence, Measurement())

        found[until_decided(look_at)] += 1
    return found


@pytest.mark.parametrize("name", ["conv", "mlp", "mlp_hugepages"])
def test_equal_sides_of_recorded_runs_are_rarely_called_changed(
    name: str, traces: Any, rounds_of: Rounds, until_decided: Decide
) -> None:
    found = _verdicts(_pair_ratios(traces(name), rounds_of), 1.0, until_decided)
    assert found["changed"] <= 0.05 * _DRAWS


def test_a_model_in_cache_is_resolved_to_three_percent(traces: Any, rounds_of: Rounds, until_decided: Decide) -> None:
    ratios = _pair_ratios(traces("conv"), rounds_of)
    assert _verdicts(ratios, 1.0, until_decided)["same"] >= 0.95 * _DRAWS
    assert _verdicts(ratios, 1.03, until_decided)["changed"] >= 0.90 * _DRAWS
    assert _verdicts(ratios, 1.10, until_decided)["changed"] >= 0.99 * _DRAWS


def test_processes_that_differ_by_placement_are_inconclusive_and_huge_pages_help(
    traces: Any, rounds_of: Rounds, until_decided: Decide
) -> None:
    rng = np.random.default_rng(0)
    ratios = _pair_ratios(traces("mlp"), rounds_of)
    at_five_pairs = [verdict(list(rng.choice(ratios, 5, replace=False)), 0.95, Measurement()) for _ in range(_DRAWS)]
    assert at_five_pairs.count("inconclusive") >= 0.8 * _DRAWS
    huge_pages = _pair_ratios(traces("mlp_hugepages"), rounds_of)
    assert _verdicts(huge_pages, 1.0, until_decided)["same"] >= 0.9 * _DRAWS
    assert _verdicts(huge_pages, 1.05, until_decided)["changed"] >= 0.95 * _DRAWS


def test_pooling_calls_of_recorded_equal_sides_would_raise_false_alarms(traces: Any) -> None:
    """The mistake that pairs of processes guard against: a rank test over all calls, one process after the other."""
    from scipy import stats

    latencies = traces("conv")
    alarms = [
        stats.mannwhitneyu(latencies[first, :, 0].ravel(), latencies[first + 1, :, 1].ravel()).pvalue < 0.05
        for first in range(0, 60, 2)
    ]
    assert np.mean(alarms) > 0.3


def _processes(rng: np.random.Generator, *, pairs: int, blocks: int = 4, calls: int = 12, factor: float = 1.0) -> Any:
    """Latencies [side, pair, block, call]: each process has a speed of its own (sd 7 %), within it almost no noise."""
    speeds = rng.normal(0, 0.07, (2, pairs, 1, 1)) + np.log([1.0, factor])[:, None, None, None]
    return np.exp(speeds + rng.normal(0, 0.002, (2, pairs, blocks, calls))) * 1e6


def test_processes_with_speeds_of_their_own_are_rarely_called_changed(rounds_of: Rounds, until_decided: Decide) -> None:
    from scipy import stats

    rng = np.random.default_rng(4)
    found: Counter[str] = Counter()
    pooled_alarms = 0
    for _ in range(100):
        first, second = _processes(rng, pairs=20, blocks=3)
        rounds = rounds_of(first), rounds_of(second)

        def look_at(pairs: int, confidence: float, rounds: Any = rounds) -> str:
            first_rounds, second_rounds = rounds
            found = compare(
                first_rounds[:pairs],
                second_rounds[:pairs],
                reference_id="r",
                measurement=Measurement(),
                look=1,
                looks_total=3,
            )
            assert found.ratio.interval is not None
            assert found.ratio.interval.confidence == confidence
            return found.verdict

        found[until_decided(look_at)] += 1
        pooled_alarms += stats.mannwhitneyu(first[:5].ravel(), second[:5].ravel()).pvalue < 0.05
    assert found["changed"] <= 5
    assert pooled_alarms > 30  # the mistake: taking calls, not processes, for the unit


def test_looking_three_times_does_not_add_false_alarms(until_decided: Decide) -> None:
    rng = np.random.default_rng(5)
    found: Counter[str] = Counter()
    peeking = 0
    for _ in range(400):
        drawn = rng.normal(0, 0.1, 20)

        def look_at(rounds: int, confidence: float, drawn: Any = drawn) -> str:
            return verdict(list(drawn[:rounds]), confidence, Measurement())

        found[until_decided(look_at)] += 1
        peeking += any(verdict(list(drawn[:rounds]), 0.95, Measurement()) == "changed" for rounds in (5, 10, 20))
    assert found["changed"] <= 0.05 * 400
    assert peeking > 0.07 * 400  # the mistake: 95 % intervals at every look


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.0, "same"), (1.03, "changed"), (1.10, "changed"), (0.9, "changed")]
)
def test_scaled_busy_waits_beside_hogs_get_the_right_verdict(
    factor: float, expected: str, rounds_of: Rounds, until_decided: Decide
) -> None:
    rng = np.random.default_rng(6)
    right = 0
    for _ in range(20):
        process = rng.normal(0, 0.004, (2, 20, 1, 1)) + np.log([1.0, factor])[:, None, None, None]
        preempted = (rng.random((2, 20, 5, 25)) < 0.15) * rng.exponential(8.0, (2, 20, 5, 25))
        first, second = np.exp(process) * (1 + rng.exponential(0.005, (2, 20, 5, 25)) + preempted) * 1e6

        def look_at(rounds: int, confidence: float, first: Any = first, second: Any = second) -> str:
            found = compare(
                rounds_of(first[:rounds]),
                rounds_of(second[:rounds]),
                reference_id="r",
                measurement=Measurement(),
                look=1,
                looks_total=3,
            )
            return found.verdict

        right += until_decided(look_at) == expected
    assert right >= 19


def test_the_ratio_is_below_one_for_a_faster_variant_and_says_so(rounds_of: Rounds) -> None:
    first, second = _processes(np.random.default_rng(7), pairs=3) * 0 + 1e6
    noise = np.random.default_rng(7).normal(1, 0.001, (2, *first.shape))
    found = compare(
        rounds_of(first * noise[0]),
        rounds_of(second * 0.5 * noise[1]),
        reference_id="the reference",
        measurement=Measurement(),
        look=2,
        looks_total=3,
    )
    assert found.ratio.value == pytest.approx(0.5, rel=0.01)
    assert found.p50_ratio.value == pytest.approx(0.5, rel=0.01)
    assert found.ratio.interval is not None
    assert found.ratio.interval.confidence == 0.985
    assert (found.direction, found.reference_id, found.looks) == ("faster", "the reference", 2)
    assert decided(found)


def test_one_pair_is_inconclusive_and_says_why(rounds_of: Rounds) -> None:
    rounds = rounds_of(np.full((1, 10, 20), 1e6))
    found = compare(rounds, rounds, reference_id="r", measurement=Measurement(), look=1, looks_total=1)
    assert found.verdict == "inconclusive"
    assert not decided(found)
    assert found.ratio.value == pytest.approx(1)
    assert found.ratio.interval is None
    assert "one pair" in found.ratio.reason


def test_only_rounds_that_both_have_are_paired_by_number(rounds_of: Rounds) -> None:
    reference = rounds_of(np.array([1.0, 2.0, 4.0])[:, None, None] * np.full((3, 3, 9), 1e6))
    variant = rounds_of(np.array([1.0, 2.0, 4.0])[:, None, None] * np.full((3, 3, 9), 2e6))
    found = compare(reference, [[], variant[2]], reference_id="r", measurement=Measurement(), look=1, looks_total=1)
    assert found.ratio.value == pytest.approx(2)


def test_no_common_round_gives_no_number_and_says_why(rounds_of: Rounds) -> None:
    rounds = rounds_of(np.full((2, 3, 9), 1e6))
    found = compare(rounds[:1], rounds[1:], reference_id="r", measurement=Measurement(), look=1, looks_total=1)
    assert (found.verdict, found.ratio.value) == ("inconclusive", None)
    assert "no round" in found.ratio.reason


@pytest.mark.parametrize(
    ("effect", "scatter", "expected"),
    [
        (0.015, 0.001, "same"),  # real, but too small to matter
        (0.10, 0.001, "changed"),
        (0.10, 0.2, "inconclusive"),
        (0.0, 0.03, "inconclusive"),
        (0.0, 0.01, "same"),
    ],
)
def test_effect_and_scatter_decide_the_verdict(effect: float, scatter: float, expected: str) -> None:
    assert verdict([effect - scatter, effect, effect + scatter], 0.95, Measurement()) == expected
