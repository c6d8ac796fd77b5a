"""The arithmetic of `benchmarks/overhead.py`; its claim is checked by running it, not by a test that times."""

from __future__ import annotations

import pytest

from benchmarks.overhead import BARE, KNOWS_EACH_CALL, OURS, WAYS, SessionTracker, measure, median_of, ratio_of


def test_the_interval_of_a_median_lies_between_order_statistics() -> None:
    found = median_of(range(1, 101))
    assert found.value == 50.5
    assert (found.low, found.high) == (40, 61)  # the binomial table for 100 values and 95 %


def test_a_ratio_is_taken_inside_each_round() -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    found = ratio_of([3 * value for value in drift], drift)
    assert (found.low, found.value, found.high) == (3.0, 3.0, 3.0)


def test_every_way_times_every_call_in_every_round() -> None:
    costs_ns = measure(rounds=3, calls=5, seed=0)
    assert set(costs_ns) == set(WAYS) >= KNOWS_EACH_CALL >= {OURS, BARE}
    assert all(len(values) == 3 and min(values) > 0 for values in costs_ns.values())


def test_the_copied_tracker_gives_one_latency_per_body() -> None:
    tracker = SessionTracker()
    for _ in range(3):
        with tracker.track():
            pass
    assert len(tracker.latencies_s()) == 3
    assert all(0 <= latency < 1 for latency in tracker.latencies_s())


@pytest.mark.parametrize("name", sorted(WAYS))
def test_a_way_takes_the_number_of_calls(name: str) -> None:
    WAYS[name](2)
