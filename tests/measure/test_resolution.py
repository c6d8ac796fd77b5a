"""What a machine can resolve, from recorded pairs of equal processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.core.block import Block
from bench.core.clock import FakeClock
from bench.measure.resolution import resolution, resolvable_ratio, timer_cost

Rounds = Callable[..., list[list[Block]]]


def _five_pairs(latencies_ns: Any, rounds_of: Rounds) -> list[tuple[list[Block], list[Block]]]:
    return list(zip(rounds_of(latencies_ns[:5, :, 0]), rounds_of(latencies_ns[:5, :, 1]), strict=True))


def test_p25_resolves_more_than_the_mean_on_a_shared_machine(traces: Any, rounds_of: Rounds) -> None:
    found = resolution(_five_pairs(traces("conv"), rounds_of))
    assert found.p25_ratio is not None
    assert found.mean_ratio is not None
    assert found.p25_ratio < 0.02 < found.mean_ratio
    assert found.sentence.startswith("this machine can resolve 1")


def test_placement_of_pages_limits_what_can_be_resolved(traces: Any, rounds_of: Rounds) -> None:
    found = resolution(_five_pairs(traces("mlp"), rounds_of))
    assert found.p25_ratio is not None
    assert found.p25_ratio > 0.05


def test_nothing_finer_than_one_percent_is_ever_promised() -> None:
    assert resolvable_ratio([0.0, 1e-5, -1e-5]) == 0.01
    assert resolvable_ratio([0.05, 0.05, 0.05]) == pytest.approx(np.expm1(0.05))


def test_one_pair_cannot_say(traces: Any, rounds_of: Rounds) -> None:
    found = resolution(_five_pairs(traces("conv"), rounds_of)[:1])
    assert found.p25_ratio is None
    assert "cannot say" in found.sentence


def test_the_cost_of_timing_is_what_a_call_that_does_nothing_shows() -> None:
    clock = FakeClock()

    def now_ns() -> int:
        clock.advance_ns(50)
        return clock.now_ns()

    found = timer_cost(10, now_ns=now_ns)
    assert found.reported_ns == 50
    assert found.loop_ns == pytest.approx(105)  # two readings per call, and the outer pair
