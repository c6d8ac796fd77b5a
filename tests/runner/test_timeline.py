"""Where the time of a run went, on a clock that moves only when told to."""

from __future__ import annotations

import pytest

from bench.core.clock import FakeClock
from bench.runner.timeline import KINDS, Timeline


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start_ns=7_000_000_000)


@pytest.fixture
def timeline(clock: FakeClock) -> Timeline:
    return Timeline(lambda: clock.now_ns() / 1e9)


def test_every_kind_is_there_from_the_start_and_is_nothing(timeline: Timeline) -> None:
    assert timeline.spent_s() == dict.fromkeys(KINDS, 0.0)


def test_the_kinds_add_up_to_the_elapsed_time(timeline: Timeline, clock: FakeClock) -> None:
    for kind, seconds in (("build", 4.0), ("timed", 2.0), ("timed", 0.5), ("check", 0.25)):
        clock.sleep_s(1)
        with timeline.spend(kind):
            clock.sleep_s(seconds)
    spent = timeline.spent_s()
    assert spent == dict.fromkeys(KINDS, 0.0) | {"build": 4.0, "timed": 2.5, "check": 0.25, "other": 4.0}
    assert sum(spent.values()) == timeline.elapsed_s == 10.75


def test_what_nobody_claims_is_other(timeline: Timeline, clock: FakeClock) -> None:
    clock.sleep_s(3)
    assert timeline.spent_s()["other"] == 3
    clock.sleep_s(1)
    assert timeline.spent_s()["other"] == 4


def test_time_that_is_shared_is_given_in_proportion_to_weights_known_at_the_end(
    timeline: Timeline, clock: FakeClock
) -> None:
    weights = {"import": 0.0, "load": 0.0}
    with timeline.share(lambda: weights):
        clock.sleep_s(8)
        weights |= {"import": 3.0, "load": 1.0}
    assert timeline.spent_s() == dict.fromkeys(KINDS, 0.0) | {"import": 6.0, "load": 2.0}


@pytest.mark.parametrize("weights", [{}, {"load": 0.0}])
def test_time_that_is_shared_among_nobody_is_other(
    timeline: Timeline, clock: FakeClock, weights: dict[str, float]
) -> None:
    with timeline.share(lambda: weights):
        clock.sleep_s(2)
    assert timeline.spent_s() == dict.fromkeys(KINDS, 0.0) | {"other": 2.0}


def test_the_time_until_an_error_counts_and_the_error_goes_on(timeline: Timeline, clock: FakeClock) -> None:
    def fail() -> None:
        clock.sleep_s(5)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"), timeline.spend("warm-up"):
        fail()
    assert timeline.spent_s()["warm-up"] == 5


def test_a_kind_that_is_none_is_a_mistake_of_the_caller(timeline: Timeline) -> None:
    with pytest.raises(KeyError), timeline.spend("tea"):
        pass
