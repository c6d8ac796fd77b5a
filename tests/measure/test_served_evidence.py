"""Percentiles under load, with the truth known: simulated queues, and failures that must not vanish."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.measure.served.evidence import bounds, percentile, requests_needed, requests_to_plan, variance_inflation
from bench.measure.served.goodput import share

Waits = np.ndarray


def queue_latencies(rng: np.random.Generator, rho: float, shape: tuple[int, int], *, random_service: bool) -> Waits:
    """Latencies in service times of a queue with Poisson arrivals, by Lindley's recursion, one row a run."""
    runs, count = shape
    burn_in = 2000
    service = rng.exponential(1, (runs, count + burn_in)) if random_service else np.ones((runs, 1))
    step = np.broadcast_to(service, (runs, count + burn_in))[:, :-1]
    step = step - rng.exponential(1 / rho, (runs, count + burn_in - 1))
    position = np.concatenate((np.zeros((runs, 1)), np.cumsum(step, axis=1)), axis=1)
    waits = position - np.minimum.accumulate(position, axis=1)
    return (waits + service)[:, burn_in:]


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_simulated_queues_have_the_waits_that_theory_gives(rho: float) -> None:
    rng = np.random.default_rng(5)
    runs = (40, 30_000)
    fixed = queue_latencies(rng, rho, runs, random_service=False)
    assert fixed.mean() - 1 == pytest.approx(rho / (2 * (1 - rho)), rel=0.03)  # Pollaczek-Khinchine, M/D/1
    if rho < 0.9:
        varied = queue_latencies(rng, rho, runs, random_service=True)
        assert np.percentile(varied, 99) == pytest.approx(math.log(100) / (1 - rho), rel=0.03)  # M/M/1


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.3, 0.5, 0.7, 0.8, 0.9])
def test_a_million_arrivals_meet_theory_within_two_percent(rho: float) -> None:
    rng = np.random.default_rng(6)
    runs = (40, 25_000) if rho < 0.9 else (160, 25_000)
    assert queue_latencies(rng, rho, runs, random_service=False).mean() - 1 == pytest.approx(
        rho / (2 * (1 - rho)), rel=0.02
    )
    p99 = np.percentile(queue_latencies(rng, rho, runs, random_service=True), 99)
    assert p99 == pytest.approx(math.log(100) / (1 - rho), rel=0.03)


#: The true p99 of M/D/1 in service times, from 40 million arrivals.
_TRUE_P99 = {0.2: 2.434, 0.3: 2.892, 0.5: 4.332, 0.7: 7.479, 0.8: 11.34}


def upper_bounds(rho: float, requests: int, runs: int, *, inflate: bool = True) -> Waits:
    rng = np.random.default_rng(11)
    found = []
    for _ in range(runs // 20):
        for latencies in queue_latencies(rng, rho, (20, requests), random_service=False):
            exceeds = latencies > np.percentile(latencies, 99)
            found.append(bounds(latencies, 0.99, variance_inflation(exceeds) if inflate else 1.0)[1])
    return np.array(found)


def test_the_bound_of_a_p99_holds_in_a_queue_where_the_independent_one_does_not() -> None:
    honest = upper_bounds(0.7, 20_000, 100)
    answered = np.isfinite(honest)
    assert answered.mean() >= 0.95
    assert (honest[answered] >= _TRUE_P99[0.7]).mean() >= 0.93
    assert (upper_bounds(0.7, 20_000, 100, inflate=False) >= _TRUE_P99[0.7]).mean() < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "requests"), [(0.2, 1_500), (0.3, 2_000), (0.5, 20_000), (0.7, 20_000), (0.8, 60_000)])
def test_the_bound_of_a_p99_covers_it_in_19_of_20_loads_of_the_prescribed_length(rho: float, requests: int) -> None:
    found = upper_bounds(rho, requests, 300)
    answered = np.isfinite(found)
    assert answered.mean() >= 0.95
    assert (found[answered] >= _TRUE_P99[rho]).mean() >= 0.95
    needed = requests_needed(99, rho)
    assert needed is not None
    assert requests >= needed


def test_a_p99_near_saturation_is_refused_with_the_number_that_it_takes() -> None:
    latencies = queue_latencies(np.random.default_rng(2), 0.9, (1, 20_000), random_service=False)[0]
    refused = percentile(latencies, 99, load_ratio=0.9)
    assert refused.value is None
    assert refused.reason == "not established: needs about 240000 requests, has 20000"


@pytest.mark.slow
def test_without_a_known_load_most_loads_near_saturation_still_give_no_bound() -> None:
    assert np.isinf(upper_bounds(0.9, 20_000, 200)).mean() >= 0.6


@pytest.mark.parametrize(
    ("percent", "ratio", "needed"),
    [
        (99, 0.2, 1_500),
        (99, 0.3, 2_000),
        (99, 0.5, 5_000),
        (99, 0.7, 20_000),
        (99, 0.8, 60_000),
        (95, 0.7, 4_000),
        (50, 0.8, 1_200),
    ],
)
def test_the_length_of_a_load_is_fixed_by_what_is_offered(percent: float, ratio: float, needed: int) -> None:
    assert requests_needed(percent, ratio) == needed
    planned = requests_to_plan(percent, ratio)
    assert planned is not None
    assert planned * 0.9 == pytest.approx(needed, abs=1)


def test_no_number_of_requests_gives_a_p99_at_saturation() -> None:
    assert requests_needed(99, 1.0) is None
    assert "no number of requests is enough" in percentile(np.arange(1e5), 99, load_ratio=1.0).reason


def test_independent_requests_are_not_inflated_and_clustered_ones_are() -> None:
    rng = np.random.default_rng(1)
    independent = rng.random(25_000) < 0.01
    assert variance_inflation(independent) < 2
    clustered = np.repeat(rng.random(250) < 0.01, 100)  # a hundred in a row are late, or none
    assert variance_inflation(clustered) > 20
    assert variance_inflation(np.zeros(100, dtype=bool)) == variance_inflation(np.ones(10, dtype=bool)) == 1


def test_an_interval_contains_the_percentile_and_too_few_requests_have_none() -> None:
    values = np.random.default_rng(3).exponential(1, 2_000)
    p99 = percentile(values, 99)
    assert p99.value is not None
    assert p99.interval is not None
    assert p99.interval.low < p99.value < p99.interval.high
    assert p99.interval.confidence == pytest.approx(0.98)
    few = percentile(values[:300], 99)
    assert few.value is None
    assert few.reason.startswith("not established: needs about ")


def test_the_median_of_a_short_load_keeps_its_value_and_says_why_it_has_no_interval() -> None:
    p50 = percentile(np.arange(100.0), 50, load_ratio=0.8)
    assert p50.value == 49.5
    assert p50.interval is None
    assert p50.reason == "not established: needs about 1200 requests, has 100"


@pytest.mark.parametrize(
    ("failed", "has_value", "has_interval"), [(2, True, True), (40, True, False), (60, False, False)]
)
def test_failed_requests_count_as_slower_than_all_others(failed: int, has_value: bool, has_interval: bool) -> None:
    latencies = np.random.default_rng(4).normal(10, 1, 5_000)
    latencies[:: 5_000 // failed] = np.inf
    estimate = percentile(latencies, 99)
    assert (estimate.value is not None, estimate.interval is not None) == (has_value, has_interval)
    if not has_value:
        assert "of 5000 requests that came to no good answer" in estimate.reason
    survivors = np.percentile(latencies[np.isfinite(latencies)], 99)
    assert estimate.value is None or estimate.value > survivors


def test_the_interval_of_a_share_widens_where_late_requests_cluster() -> None:
    spread = np.ones(2_500, dtype=bool)
    spread[::100] = False
    cluster = np.ones(2_500, dtype=bool)
    cluster[500:525] = False
    alone, together = share(spread), share(cluster)
    assert alone.value == together.value == 0.99
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval.low < alone.interval.low - 0.01


def test_a_share_of_all_is_sure_to_as_many_requests_as_count() -> None:
    certain = share(np.ones(1_000, dtype=bool))
    doubted = share(np.ones(1_000, dtype=bool), inflation=10)
    assert certain.interval is not None
    assert doubted.interval is not None
    assert certain.interval.high == doubted.interval.high == 1
    assert doubted.interval.low < certain.interval.low < 1
