"""Plans of arrivals: the same for a seed, at the rate that was asked for, and of the distribution they are named by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import MatrixError
from bench.load import Arrivals, inputs_in_turn, offsets_ns

RAMP: dict[str, Any] = {"kind": "ramp", "rate_per_s": 10, "end_rate_per_s": 90}


def test_equal_seeds_give_identical_bytes_and_others_do_not() -> None:
    plan = offsets_ns(Arrivals(kind="poisson", rate_per_s=300, duration_s=5, seed=7))
    assert plan.dtype == np.int64
    assert plan.tobytes() == offsets_ns(Arrivals(kind="poisson", rate_per_s=300, duration_s=5, seed=7)).tobytes()
    assert plan.tobytes() != offsets_ns(Arrivals(kind="poisson", rate_per_s=300, duration_s=5, seed=8)).tobytes()


def test_a_longer_plan_begins_with_the_shorter_one() -> None:
    long = offsets_ns(Arrivals(kind="poisson", rate_per_s=2000, duration_s=20, seed=1))  # more than are drawn at once
    short = offsets_ns(Arrivals(kind="poisson", rate_per_s=2000, duration_s=5, seed=1))
    counted = offsets_ns(Arrivals(kind="poisson", rate_per_s=2000, count=len(long), seed=1))
    assert 0 < len(short) < len(long)
    assert short.tolist() == long[: len(short)].tolist()
    assert counted.tolist() == long.tolist()


def test_poisson_gaps_are_exponential_at_the_rate_asked_for() -> None:
    offsets = offsets_ns(Arrivals(kind="poisson", rate_per_s=2000, count=20_000, seed=0))
    expected = -np.expm1(-2000 * np.sort(np.diff(offsets, prepend=0)) / 1e9)
    steps = np.arange(20_001) / 20_000
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance < 1.628 / np.sqrt(20_000)  # Kolmogorov-Smirnov at 1 %
    assert len(offsets) / (offsets[-1] / 1e9) == pytest.approx(2000, rel=0.01)


@pytest.mark.parametrize(("rate", "duration", "count"), [(100, 20, 2000), (30, 0.1, 3), (3, 1, 3), (0.5, 5, 3)])
def test_constant_gaps_are_equal(rate: float, duration: float, count: int) -> None:
    offsets = offsets_ns(Arrivals(kind="constant", rate_per_s=rate, duration_s=duration))
    assert offsets.tolist() == [round(number * 1e9 / rate) for number in range(count)]


def test_bursts_come_at_once_and_keep_the_mean_rate() -> None:
    offsets = offsets_ns(Arrivals(kind="burst", rate_per_s=100, burst_size=20, duration_s=1))
    assert offsets.tolist() == [start * 200_000_000 for start in range(5) for _ in range(20)]
    assert offsets_ns(Arrivals(kind="burst", rate_per_s=100, burst_size=20, count=30)).tolist() == offsets[:30].tolist()


@pytest.mark.parametrize(("first", "last"), [(10, 90), (90, 10), (0, 100), (100, 0), (50, 50)])
def test_a_ramp_changes_its_rate_linearly(first: float, last: float) -> None:
    seconds = offsets_ns(Arrivals(kind="ramp", rate_per_s=first, end_rate_per_s=last, duration_s=40)) / 1e9
    assert len(seconds) == 2000
    assert (np.diff(seconds) > 0).all()
    for end in (10, 20, 30):  # the integral of the rate
        assert np.sum(seconds < end) == pytest.approx(first * end + (last - first) * end**2 / 80, abs=1)


def test_a_counted_ramp_reaches_its_last_rate_with_its_last_request() -> None:
    counted = offsets_ns(Arrivals(**RAMP, count=2000))
    assert counted.tolist() == offsets_ns(Arrivals(**RAMP, duration_s=40)).tolist()


@pytest.mark.parametrize("name", ["trace.txt", "trace.npy"])
def test_a_trace_is_replayed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, np.array([0.0, 0.25, 0.25, 1.5]))
    else:
        path.write_text("0.0\n0.25\n0.25\n1.5\n")
    assert offsets_ns(Arrivals(kind="trace", trace_path=str(path))).tolist() == [0, 250000000, 250000000, 1500000000]
    assert len(offsets_ns(Arrivals(kind="trace", trace_path=str(path), duration_s=1))) == 3
    assert len(offsets_ns(Arrivals(kind="trace", trace_path=str(path), count=2))) == 2


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("0.1\nsoon\n", "could not convert"),
        ("", "list of times"),
        ("-1\n2\n", "none below 0"),
        ("0.5\n0.4\n", "request 2 comes before"),
        ("nan\n", "list of times"),
    ],
)
def test_a_trace_that_is_none_is_the_users_mistake(tmp_path: Path, content: str, cause: str) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(content)
    with pytest.raises(MatrixError, match=cause) as caught:
        offsets_ns(Arrivals(kind="trace", trace_path=str(path)))
    assert str(path) in caught.value.message
    with pytest.raises(MatrixError, match="No such file"):
        offsets_ns(Arrivals(kind="trace", trace_path=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    "words",
    [
        {"kind": "poisson", "rate_per_s": 10},
        {"kind": "poisson", "rate_per_s": 10, "duration_s": 1, "count": 1},
        {"kind": "constant", "rate_per_s": 0, "duration_s": 1},
        {"kind": "constant", "rate_per_s": -5, "duration_s": 1},
        {"kind": "constant", "rate_per_s": float("nan"), "duration_s": 1},
        {"kind": "ramp", "rate_per_s": -1, "end_rate_per_s": 5, "duration_s": 1},
        {"kind": "burst", "rate_per_s": 1, "duration_s": 1, "burst_size": 0},
        {"kind": "trace"},
    ],
)
def test_arrivals_that_say_nothing_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"arrivals|burst_size"):
        Arrivals(**words)


def test_inputs_take_turns_in_an_order_of_their_own_seed() -> None:
    turns = inputs_in_turn(1000, 7, seed=3)
    assert turns.tobytes() == inputs_in_turn(1000, 7, seed=3).tobytes()
    assert turns.tolist() != inputs_in_turn(1000, 7, seed=4).tolist()
    for start in range(0, 994, 7):
        assert sorted(turns[start : start + 7].tolist()) == list(range(7))
