"""Warm-up: found by the child while it lasts, and classified afterwards from the blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.cell import Measurement
from bench.core.clock import FakeClock
from bench.measure.warm_up import WarmUp, classify, has_settled, steady_rounds, warm_up

_BLOCKS = 60
_INDEX = np.arange(_BLOCKS)


def _classes(shape: Any, noise: float = 0.01, series: int = 20) -> list[tuple[str, int]]:
    rng = np.random.default_rng(0)
    return [classify(shape * rng.normal(1, noise, len(shape)) * 1e6) for _ in range(series)]


def test_a_flat_series_is_called_flat() -> None:
    found = _classes(np.ones(_BLOCKS), series=100)
    assert found.count(("flat", 0)) >= 95


def test_a_warm_up_that_ends_at_37_is_seen_to_end_there() -> None:
    found = _classes(np.where(_INDEX < 37, 1.3, 1.0))
    assert sum(kind == "warm-up" and abs(steady_from - 37) <= 1 for kind, steady_from in found) >= 19


def test_a_slowdown_is_told_from_a_warm_up() -> None:
    found = _classes(np.where(_INDEX < 37, 1.0, 1.2))
    assert sum(kind == "slowdown" and abs(steady_from - 37) <= 1 for kind, steady_from in found) >= 19


@pytest.mark.parametrize(
    "shape",
    [1.5 - 0.5 * _INDEX / _BLOCKS, 1 + 0.5 * _INDEX / _BLOCKS],
    ids=["ever faster", "ever slower"],
)
def test_a_ramp_without_end_has_no_steady_state(shape: Any) -> None:
    assert sum(kind == "no-steady-state" for kind, _ in _classes(shape)) >= 18


def test_a_ramp_that_ends_is_a_warm_up_or_unsettled_but_never_flat() -> None:
    found = _classes(1 + 0.5 * np.clip(37 - _INDEX, 0, None) / 37)
    assert {kind for kind, _ in found} <= {"warm-up", "no-steady-state"}
    assert sum(kind == "warm-up" for kind, _ in found) >= 14


@pytest.mark.parametrize("period", [8, 20, 30])
def test_a_periodic_series_has_no_steady_state(period: int) -> None:
    found = _classes(np.where(_INDEX % period < period / 2, 1.2, 1.0))
    assert sum(kind == "no-steady-state" for kind, _ in found) >= 15


def test_ten_blocks_of_five_processes_show_a_warm_up_that_all_share() -> None:
    rng = np.random.default_rng(1)
    shape = np.where(np.arange(10) < 3, 1.2, 1.0)
    for _ in range(20):
        processes = np.exp(rng.normal(0, 0.07, (5, 1)))
        assert classify(processes * shape * rng.normal(1, 0.02, (5, 10))) == ("warm-up", 3)


def test_a_disturbance_of_one_process_is_not_a_warm_up_of_the_code() -> None:
    rng = np.random.default_rng(2)
    p25s = rng.normal(1, 0.01, (5, 10))
    p25s[2, :4] *= 1.8
    assert classify(p25s) == ("flat", 0)


def test_too_few_blocks_to_judge_are_not_called_flat() -> None:
    assert classify([3.0, 2.0, 1.0, 1.0, 1.0]) == ("not judged", 0)
    assert classify(np.ones((5, 5))) == ("not judged", 0)
    assert classify(np.ones(6)) == ("flat", 0)


def test_a_quick_run_keeps_all_its_blocks_and_does_not_claim_flatness(rounds_of: Callable[..., Any]) -> None:
    rounds = rounds_of(np.full((2, 5, 20), 1_000_000))
    assert steady_rounds(rounds) == ("not judged", rounds)
    assert steady_rounds([]) == ("not judged", [])


def _run(latency_ns_of: Callable[[int], int], measurement: Measurement) -> WarmUp:
    """Warm up a service whose n-th call (from 0) takes the given time on a fake clock."""
    clock, count = FakeClock(), 0

    def call() -> None:
        nonlocal count
        clock.advance_ns(latency_ns_of(count))
        count += 1

    found = warm_up([call], measurement, now_ns=clock.now_ns)
    assert found.calls == count
    assert found.elapsed_ns == clock.now_ns()
    return found


def test_warming_up_lasts_at_least_the_calls_and_the_seconds_asked_for() -> None:
    quick = _run(lambda _: 1_000_000, Measurement())
    assert 0.5 <= quick.elapsed_ns / 1e9 < 0.6
    assert quick.settled
    slow = _run(lambda _: 1_000_000_000, Measurement())
    assert slow.calls == 10


def test_warming_up_goes_on_while_calls_get_faster() -> None:
    found = _run(lambda call: 200_000_000 if call < 37 else 20_000_000, Measurement(warm_up_min_s=0.5))
    assert found.first_call_ns == 200_000_000
    assert _run(lambda call: max(5_000_000, 100_000_000 - call * 1_000_000), Measurement()).estimate_ns == 5_000_000


def test_a_compilation_at_the_165th_call_is_over_when_it_is_warm() -> None:
    found = _run(lambda call: 2_000_000 if call < 165 else 700_000, Measurement())
    assert found.settled
    assert found.estimate_ns == 700_000


def test_a_first_call_of_many_seconds_is_not_taken_for_the_speed() -> None:
    found = _run(lambda call: 8_500_000_000 if call == 0 else 1_000_000, Measurement())
    assert (found.first_call_ns, found.estimate_ns, found.settled) == (8_500_000_000, 1_000_000, True)


def test_a_model_that_never_settles_is_let_go_at_the_cap_and_says_so() -> None:
    found = _run(lambda call: round(1e8 * 0.99**call) + 10_000, Measurement(warm_up_max_s=5.0))
    assert not found.settled
    assert 5.0 <= found.elapsed_ns / 1e9 < 5.2


def test_all_inputs_take_part_in_turn() -> None:
    clock, seen = FakeClock(), []

    def bound(number: int) -> Callable[[], None]:
        def call() -> None:
            seen.append(number)
            clock.advance_ns(10_000_000)

        return call

    warm_up([bound(number) for number in range(3)], Measurement(), now_ns=clock.now_ns)
    assert seen == [index % 3 for index in range(len(seen))]


def test_getting_slower_is_no_reason_to_wait_longer() -> None:
    assert has_settled([1.0, 1.0, 1.0, 1.2, 1.2, 1.2], 100, 1.0, Measurement())
    assert not has_settled([1.2, 1.2, 1.2, 1.2, 1.0, 1.0], 100, 1.0, Measurement())
    assert not has_settled([1.0] * 6, 9, 1.0, Measurement())
    assert not has_settled([1.0] * 6, 100, 0.4, Measurement())
