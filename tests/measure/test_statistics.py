"""Statistics of a cell: values, intervals, and numbers that are withheld for want of evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.block import Block
from bench.measure.statistics import calls_needed, over_rounds, summarise, tail_percentile, variance_inflation

Rounds = Callable[..., list[list[Block]]]


def _clustered(
    rng: np.random.Generator, *, blocks: int = 10, calls: int = 70, process: float = 0.0, block: float = 0.0
):
    """Latencies [round, block, call] in ns around 1 ms with an exponential tail; processes and blocks have speeds."""
    speeds = rng.normal(0, process, (5, 1, 1)) + rng.normal(0, block, (5, blocks, 1))
    return np.exp(speeds + rng.exponential(0.1, (5, blocks, calls))) * 1e6


def test_settling_calls_never_enter_a_statistic(block_of: Callable[..., Block]) -> None:
    rounds = [
        [block_of([9e9, 9e9, 9e9, *[1e6] * 20], number=number, index=index, settling=3) for index in range(3)]
        for number in range(2)
    ]
    found = summarise(rounds, batch=1)
    assert (found.calls, found.rounds) == (120, 2)
    assert found.p50_ms.value == pytest.approx(1)
    assert found.mean_ms.value == pytest.approx(1)
    assert found.throughput_per_s.value == pytest.approx(1000)


def test_throughput_counts_items_and_the_time_between_calls(block_of: Callable[..., Block]) -> None:
    blocks = [block_of([1e6] * 13, index=index, settling=3, wall_ns=23_000_000) for index in range(2)]
    assert summarise([blocks], batch=8).throughput_per_s.value == pytest.approx(8 * 10 / 0.020)


def test_a_typical_process_is_the_geometric_mean_with_student_t_over_processes() -> None:
    estimate = over_rounds([1.0, 2.0, 4.0])
    assert estimate.value == pytest.approx(2)
    assert estimate.interval is not None
    factor = np.exp(4.302652729911275 * np.log(2) / np.sqrt(3))  # t(.975, 2 d.f.)
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((2 / factor, 2 * factor))


def test_one_round_has_values_but_no_interval_and_says_why(rounds_of: Rounds) -> None:
    found = summarise(rounds_of(np.full((1, 10, 20), 1e6)), batch=1)
    assert found.p50_ms.value == pytest.approx(1)
    assert found.p50_ms.interval is None
    assert "two processes" in found.p50_ms.reason


def test_percentiles_without_evidence_are_withheld_and_say_how_many_calls_they_need(rounds_of: Rounds) -> None:
    latencies = np.random.default_rng(0).permutation(np.arange(1, 251)).reshape(5, 5, 10) * 1e4
    found = summarise(rounds_of(latencies), batch=1)
    assert found.p90_ms.value is not None
    assert found.p99_ms.value is None
    assert found.p99_ms.reason.startswith("not established: needs about ")
    assert found.p99_ms.reason.endswith(" calls, has 250")


@pytest.mark.parametrize(("quantile", "calls"), [(0.90, 36), (0.95, 72), (0.99, 368)])
def test_a_two_sided_interval_exists_from_the_exact_number_of_calls(quantile: float, calls: int) -> None:
    assert calls_needed(quantile) == calls
    enough, short = (np.arange(1.0, count + 1) for count in (calls_needed(quantile), calls_needed(quantile) - 1))
    assert tail_percentile([[enough]], 100 * quantile).value is not None
    assert tail_percentile([[short]], 100 * quantile).value is None


@pytest.mark.parametrize(
    ("percent", "process", "block"), [(90, 0.0, 0.0), (99, 0.0, 0.0), (90, 0.0, 0.07), (95, 0.07, 0.05)]
)
def test_percentile_intervals_hold_the_truth_though_calls_cluster(percent: int, process: float, block: float) -> None:
    rng = np.random.default_rng(1)
    scatter = rng.normal(0, np.hypot(process, block), 400_000) + rng.exponential(0.1, 400_000)
    truth_ms = np.percentile(np.exp(scatter), percent)
    answered, held = 0, 0
    for _ in range(100):
        found = tail_percentile(list(map(list, _clustered(rng, process=process, block=block))), percent)
        if found.interval is not None:
            answered += 1
            held += found.interval.low <= truth_ms <= found.interval.high
    assert answered >= 80
    assert held / answered >= 0.85


def test_taking_calls_of_one_process_for_independent_would_miss_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that variance inflation guards against."""
    monkeypatch.setattr("bench.measure.statistics.variance_inflation", lambda *_: 1.0)
    rng = np.random.default_rng(1)
    truth_ms = np.percentile(np.exp(rng.normal(0, 0.07, 400_000) + rng.exponential(0.1, 400_000)), 90)
    intervals = [tail_percentile(list(map(list, _clustered(rng, process=0.07))), 90).interval for _ in range(60)]
    held = [found is not None and found.low <= truth_ms <= found.high for found in intervals]
    assert np.mean(held) < 0.6


def test_independent_calls_inflate_nothing_and_clusters_do() -> None:
    rng = np.random.default_rng(2)

    def inflation(latencies: Any) -> float:
        return variance_inflation(list(map(list, latencies)), float(np.percentile(latencies, 90)), 0.9)

    assert inflation(_clustered(rng)) < 2.5
    assert inflation(_clustered(rng, process=0.2)) > 10
    assert inflation(_clustered(rng, block=0.2)) > 10


def test_blocks_before_the_steady_level_are_left_out(rounds_of: Rounds) -> None:
    rng = np.random.default_rng(3)
    latencies = rng.normal(1e6, 1e4, (5, 10, 20)) * np.where(np.arange(10) < 4, 1.5, 1)[None, :, None]
    found = summarise(rounds_of(latencies), batch=1)
    assert found.warm_up == "warm-up"
    assert found.calls == 5 * 6 * 20
    assert found.p50_ms.value == pytest.approx(1, rel=0.01)


def test_nothing_measured_is_an_error_and_not_a_number() -> None:
    with pytest.raises(ValueError, match="no steady call"):
        summarise([[]], batch=1)
