"""The rules that `benchmarks/false_alarms.py` compares: those of other tools agree with these tools' own code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.core.block import Block, Counters
from benchmarks.comparison_rules import (
    RULES,
    Rule,
    Session,
    Share,
    asv_test,
    disjoint,
    means_of,
    our_rule,
    overlapping,
    pooled_in_a_row,
    pyperf_rule,
    pyperf_values,
    rank_test,
    student_test,
)

Make = Callable[..., Session]


@pytest.fixture
def session() -> Make:
    """A session whose calls take 1 ms times a factor per side, with 1 % noise."""

    def make(seed: int, **factors: float) -> Session:
        rng = np.random.default_rng(seed)

        def calls_ns(side: str, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
            return np.asarray(1e6 * factors.get(side, 1.0) * rng.lognormal(0.0, 0.01, count))

        def block(side: str, index: int) -> Block:
            latencies_ns = tuple(map(int, calls_ns(side, 30)))
            return Block(
                round=0, index=index, latencies_ns=latencies_ns, settling_calls=3, wall_ns=1, counters=Counters()
            )

        sides = ("a", "b", "slow")
        return Session(
            interleaved={side: tuple(block(side, index) for index in range(10)) for side in sides},
            in_a_row={side: calls_ns(side, 400) for side in sides},
        )

    return make


def test_our_rule_leaves_equal_sides_alone_and_finds_five_percent(session: Make) -> None:
    sessions = [session(seed, slow=1.05).with_scaled() for seed in range(5)]
    assert our_rule(sessions, "b") == 0
    assert our_rule(sessions, "slow") == our_rule(sessions, "scaled") == 1
    assert our_rule([session(seed, slow=0.95) for seed in range(5)], "slow") == -1


def test_our_rule_says_nothing_of_fewer_pairs_than_its_first_look(session: Make) -> None:
    assert our_rule([session(seed, slow=2.0) for seed in range(4)], "slow") == 0


def test_the_t_test_is_that_of_pyperf() -> None:
    significant = pytest.importorskip("pyperf._utils").is_significant
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(200):
        a, b = rng.normal(1.0, 0.05, 15), rng.normal(1.03, 0.05, 15)
        found, score = significant(a.tolist(), b.tolist())
        answers.append(student_test(a, b))
        assert answers[-1] == (-int(np.sign(score)) if found else 0)
    assert {0, 1} <= set(answers)


def test_the_rank_test_with_a_factor_is_that_of_asv() -> None:
    is_different = pytest.importorskip("asv._stats").is_different
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(200):
        a, b = rng.normal(1.0, 0.1, 10), rng.normal(1.15, 0.1, 10)
        ratio = np.median(b) / np.median(a)
        claimed = is_different(a.tolist(), b.tolist(), {}, {}) and not 1 / 1.1 <= ratio <= 1.1
        answers.append(asv_test(a, b))
        assert answers[-1] == (int(np.sign(ratio - 1)) if claimed else 0)
    assert {0, 1} <= set(answers)


def test_the_rank_test_knows_the_direction() -> None:
    low, high = np.arange(50.0), np.arange(50.0) + 100
    assert rank_test(low, high, alpha=0.05) == 1
    assert rank_test(high, low, alpha=0.05) == -1
    assert rank_test(low, low + 0.5, alpha=0.05) == 0


def test_values_are_means_of_equal_stretches_from_the_start() -> None:
    calls_ns = np.repeat([1.0, 2.0, 3.0, 4.0], 10) * 1e6
    np.testing.assert_allclose(means_of(calls_ns, 25e6, 4), [1e6, 2e6, 3e6, 4e6])
    np.testing.assert_allclose(means_of(calls_ns, 1e12, 2), [1.5e6, 3.5e6])
    np.testing.assert_allclose(pyperf_values(calls_ns), [2e6, 3e6, 4e6])


def test_a_rule_in_order_takes_a_from_the_first_sessions_and_the_other_side_from_the_last(session: Make) -> None:
    drifting = [session(0, a=1.0, b=1.0), session(1, a=1.1, b=1.1)]
    assert pyperf_rule(drifting, "b") == 1
    assert pooled_in_a_row(drifting, "b") == 0


def test_shares_are_counted_over_disjoint_and_over_overlapping_groups(session: Make) -> None:
    sessions = [session(seed).with_scaled() for seed in range(7)]
    alarm = Rule(name="always faster", sessions=3, says=lambda group, side: -1)
    assert disjoint(alarm, sessions, "b") == Share(hits=2, total=2)
    assert overlapping(alarm, sessions, "b", draws=1, seed=0) == Share(hits=5, total=5)
    assert disjoint(alarm, sessions, "slow") == Share(hits=0, total=2), "faster is no way to find a slowdown"
    anyhow = Rule(name="drawn", sessions=3, says=lambda group, side: 1, in_order=False)
    assert overlapping(anyhow, sessions, "slow", draws=11, seed=0) == Share(hits=11, total=11)


def test_equal_sides_are_exchanged_at_random_and_unequal_ones_never(session: Make) -> None:
    sessions = [session(seed, a=2.0) for seed in range(6)]

    def a_is_slower(group: object, side: str) -> int:
        (first,) = group  # type: ignore[misc]
        return int(np.median(first.in_a_row["a"]) > 1.5e6)

    rule = Rule(name="", sessions=1, says=a_is_slower, in_order=False)
    assert 20 < overlapping(rule, sessions, "b", draws=100, seed=0).hits < 80
    assert overlapping(rule, sessions, "slow", draws=100, seed=0).hits == 100


def test_too_few_sessions_give_no_share_instead_of_none() -> None:
    for rule in RULES:
        assert disjoint(rule, [], "b") == overlapping(rule, [], "b", draws=5, seed=0) == Share(hits=0, total=0)
    assert Share(hits=0, total=0).interval == (0.0, 1.0)
    low, high = Share(hits=0, total=10).interval
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025**0.1)
