"""The arithmetic of `benchmarks/load.py`; its claims are checked by running it, not by a test that times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.load import QUICK, Grpc, Line, highest_clean_rate, is_clean, true_p99_ms, verdicts
from benchmarks.load_tools import Core, Outcome, Tool

GOOD = Outcome(requests=10, failed=0, achieved_ratio=0.995, lag_us=(1, 900), latency_ms=(1, 2), cpu_us=30)


class _UpTo(Tool):
    """Clean up to a rate, but for every other attempt."""

    name = "fake"

    def __init__(self, most: float) -> None:
        super().__init__(Core(number=0))
        self.attempts: list[float] = []
        self._most = most

    def run(self, port: int, rate: float, duration_s: float, arrivals: str = "poisson") -> Outcome:
        self.attempts.append(rate)
        return GOOD if rate <= self._most and self.attempts.count(rate) > 1 else replace(GOOD, failed=1)


def test_a_run_is_clean_when_nothing_was_late_missing_or_wrong() -> None:
    assert is_clean(GOOD)
    assert is_clean(replace(GOOD, lag_us=None))
    assert not is_clean(replace(GOOD, lag_us=(1, 1001)))
    assert not is_clean(replace(GOOD, achieved_ratio=0.98))
    assert not is_clean(replace(GOOD, failed=1))


def test_the_highest_clean_rate_survives_a_bad_attempt_and_ends_after_two_bad_rates() -> None:
    plan = replace(QUICK, rates=(1, 2, 3, 4, 5, 6), attempts=2)
    tool = _UpTo(3)
    assert highest_clean_rate(tool, 80, plan) == 3
    assert tool.attempts == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert highest_clean_rate(_UpTo(0), 80, plan) == 0


def test_the_true_p99_of_the_stall_follows_from_the_plan() -> None:
    planned_s = np.arange(0, 20, 0.01).tolist()
    assert true_p99_ms(planned_s, (0, 0)) == pytest.approx(5)
    # The n-th request of the stall waits 995 ms less 10 n for its end, and 5 n for the others; the 20th largest counts.
    assert true_p99_ms(planned_s, (5.005, 1)) == pytest.approx(1000 - 5 * 20, abs=6)


def test_claims_hold_only_with_all_their_numbers() -> None:
    lines = [
        Line(name="deploybench", clean_per_s=25_000, p99_ratio=1.004),
        Line(name="k6, 4 users", p99_ratio=0.1),
        Line(name="k6, 400 users", clean_per_s=5000),
    ]
    grpc = Grpc(open_us=[(1, 4), (2, 3), (1, 3)], closed_us=[(1, 4)])
    assert list(verdicts(lines, grpc).values()) == [True, True, True, True]
    lines[0] = Line(name="deploybench", clean_per_s=19_000, p99_ratio=0.97)
    grpc = Grpc(open_us=[(2, 3)], closed_us=[(1, 4)])
    assert list(verdicts(lines, grpc).values()) == [False, False, False, False]
