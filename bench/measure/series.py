"""Histories: values of the same cell over time, cut wherever the environment changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .change_points import change_points, levels


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelChange:
    """The level of a history changed at `index` (into the whole history); `ratio` is the new over the old level.

    It is an alarm, not a verdict: only a paired comparison of the two versions says "changed".
    """

    index: int
    environment_id: str
    ratio: float


def split_by_environment(environment_ids: Sequence[str]) -> dict[str, list[int]]:
    """Indices of the points of each environment, in order; a point is never compared with another environment's."""
    series: dict[str, list[int]] = {}
    for index, environment_id in enumerate(environment_ids):
        series.setdefault(environment_id, []).append(index)
    return series


def level_changes(values: Sequence[float], environment_ids: Sequence[str]) -> tuple[LevelChange, ...]:
    """Changes of level inside each environment's own series, in order of time."""
    found: list[LevelChange] = []
    for environment_id, indices in split_by_environment(environment_ids).items():
        series = [values[index] for index in indices]
        starts = change_points(series)
        medians = levels(series, starts)
        found += [
            LevelChange(index=indices[start], environment_id=environment_id, ratio=after / before)
            for start, before, after in zip(starts, medians, medians[1:], strict=False)
        ]
    return tuple(sorted(found, key=lambda change: change.index))
