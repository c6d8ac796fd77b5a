"""Changes of level: found where they are, not found where there is only noise."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from bench.measure import change_points as module
from bench.measure.change_points import change_points, levels
from bench.measure.series import level_changes, split_by_environment

Noise = Literal["gauss", "heavy", "autocorrelated"]


def _noise(rng: np.random.Generator, kind: Noise, variation: float, points: int = 100) -> Any:
    white = rng.standard_normal(points) * variation
    if kind == "heavy":
        spikes = rng.random(points) < 0.05
        white[spikes] += rng.exponential(6 * variation, spikes.sum())
    if kind == "autocorrelated":
        for index in range(1, points):
            white[index] = 0.7 * white[index - 1] + np.sqrt(1 - 0.49) * white[index]
    return 1 + white


def _step(at: int, factor: float, points: int = 100) -> Any:
    return np.where(np.arange(points) >= at, factor, 1.0)


@pytest.mark.parametrize("kind", ["gauss", "heavy", "autocorrelated"])
def test_noise_alone_has_hardly_any_change(kind: Noise) -> None:
    rng = np.random.default_rng(0)
    alarms = [bool(change_points(_noise(rng, kind, 0.02))) for _ in range(60)]
    assert sum(alarms) <= 3


def test_permuting_single_points_would_see_changes_in_autocorrelated_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that permuting runs of points guards against."""
    monkeypatch.setattr(module, "_block_length", lambda *_: 1)
    rng = np.random.default_rng(0)
    alarms = [bool(change_points(_noise(rng, "autocorrelated", 0.04))) for _ in range(30)]
    assert sum(alarms) >= 9


@pytest.mark.parametrize(
    ("kind", "variation", "share"), [("gauss", 0.02, 0.95), ("heavy", 0.02, 0.95), ("autocorrelated", 0.02, 0.95)]
)
def test_a_step_of_ten_percent_is_found_within_two_points(kind: Noise, variation: float, share: float) -> None:
    rng = np.random.default_rng(1)
    found = [change_points(_noise(rng, kind, variation) * _step(60, 1.10)) for _ in range(20)]
    assert np.mean([any(abs(start - 60) <= 2 for start in starts) for starts in found]) >= share


def test_a_step_of_five_percent_in_heavy_noise_is_seen_after_some_five_points() -> None:
    rng = np.random.default_rng(2)
    lags = []
    for _ in range(20):
        series = _noise(rng, "heavy", 0.02, 90) * _step(60, 1.05, 90)
        seen = (lag for lag in range(1, 25) if any(abs(s - 60) <= 2 for s in change_points(series[: 60 + lag])))
        lags.append(next(seen, 99))
    assert np.median(lags) <= 6


def test_levels_closer_than_three_percent_are_one() -> None:
    rng = np.random.default_rng(3)
    assert change_points(_noise(rng, "gauss", 0.001) * _step(50, 1.02)) == ()
    assert change_points(_noise(rng, "gauss", 0.001) * _step(50, 1.04)) == (50,)


def test_the_same_series_always_gives_the_same_answer() -> None:
    series = _noise(np.random.default_rng(4), "heavy", 0.04) * _step(60, 1.06)
    assert change_points(series) == change_points(series)


def test_replicates_together_show_what_one_of_them_cannot() -> None:
    rng = np.random.default_rng(5)
    processes = rng.normal(1, 0.1, (5, 1)) * _step(3, 0.9, 10) * rng.normal(1, 0.01, (5, 10))
    assert change_points(processes) == (3,)
    assert change_points(processes[0]) == ()  # ten points cannot: 3 of 10 lie first by chance too often
    assert levels(processes, (3,))[1] == pytest.approx(0.9 * levels(processes, (3,))[0], rel=0.02)


def test_a_series_too_short_to_split_has_no_change() -> None:
    assert change_points([1.0, 1.0, 2.0, 2.0, 2.0]) == ()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_latency_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="positive finite"):
        change_points([1.0] * 9 + [value])


def test_a_step_exactly_where_the_environment_changes_is_a_new_series_and_no_change() -> None:
    values = _noise(np.random.default_rng(6), "gauss", 0.01) * _step(60, 1.05)
    environments = ["before"] * 60 + ["after"] * 40
    assert level_changes(list(values), environments) == ()
    (change,) = level_changes(list(values), ["one"] * 100)  # the mistake: one series across environments
    assert abs(change.index - 60) <= 2


def test_a_step_inside_an_environment_is_found_at_its_place_in_the_whole_history() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([_noise(rng, "gauss", 0.01, 30) * 5, _noise(rng, "gauss", 0.01, 60) * _step(40, 1.1, 60)])
    (change,) = level_changes(list(values), ["old"] * 30 + ["new"] * 60)
    assert abs(change.index - 70) <= 1
    assert change.environment_id == "new"
    assert change.ratio == pytest.approx(1.1, rel=0.02)


def test_an_environment_that_comes_back_continues_its_series() -> None:
    assert split_by_environment(["a", "a", "b", "a"]) == {"a": [0, 1, 3], "b": [2]}
