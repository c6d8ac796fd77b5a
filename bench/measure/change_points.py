"""Where the level of a series changes: E-divisive by binary segmentation, for warm-up within a run and for history.

The energy statistic of Matteson and James (2014) looks for the split whose two sides differ most; a permutation test
says whether such a split can arise by chance; neighbours whose levels differ too little to matter are merged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_SEGMENT = 3
P_VALUE = 0.01
PERMUTATIONS = 199
#: Neighbouring levels closer than this are one level.
MERGE_RATIO = 0.03
#: Above this correlation between neighbours single points are not exchangeable, so runs of points are permuted.
_AUTOCORRELATION = 0.15
_MAX_AUTOCORRELATION = 0.9
_MIN_POINTS_FOR_AUTOCORRELATION = 8

Floats = NDArray[np.float64]


def change_points(series: ArrayLike, *, seed: int = 0) -> tuple[int, ...]:
    """Indices where a new level of `series` starts, ascending; the first level, at 0, is not listed.

    `series` holds positive values, shape (points,), or (replicates, points) where the replicates share the place of a
    change but not their level: each is divided by its median, and a change counts when their median profile shows it.
    """
    rows = _as_log_rows(series)
    rng = np.random.default_rng(seed)
    found: list[int] = []
    open_segments = [(0, rows.shape[1])]
    while open_segments:
        start, end = open_segments.pop()
        split = _significant_split(rows[:, start:end], rng)
        if split is not None:
            found.append(start + split)
            open_segments += [(start, start + split), (start + split, end)]
    return _merged(_profile(rows), sorted(found))


def levels(series: ArrayLike, starts: tuple[int, ...]) -> list[float]:
    """Median of each segment of `series` that the change points cut, as ratios to the median of the whole."""
    profile = _profile(_as_log_rows(series))
    return [float(np.exp(np.median(part))) for part in np.split(profile, list(starts))]


def autocorrelation(values: Floats) -> float:
    """Correlation of neighbours, between 0 and .9, with outliers clipped; 0 for short or constant series."""
    if len(values) <= _MIN_POINTS_FOR_AUTOCORRELATION:
        return 0.0
    clipped = _clipped(values)
    clipped = clipped - clipped.mean()
    power = float(clipped @ clipped)
    return _bounded(float(clipped[:-1] @ clipped[1:]) / power) if power else 0.0


def _autocorrelation_of_differences(profile: Floats) -> float:
    """The same from differences over one and two points: var(d2) / var(d1) = 1 + rho for AR(1) noise.

    Further changes of level, which would pass for correlation in the residuals around a single split, touch only one
    or two differences each.
    """
    over_one, over_two = (float(np.var(_clipped(profile[lag:] - profile[:-lag]))) for lag in (1, 2))
    return _bounded(over_two / over_one - 1) if over_one else 0.0


def _clipped(values: Floats) -> Floats:
    clipped: Floats = np.clip(values, *np.percentile(values, [5, 95]))
    return clipped


def _bounded(rho: float) -> float:
    return min(max(rho, 0.0), _MAX_AUTOCORRELATION)


def _as_log_rows(series: ArrayLike) -> Floats:
    values = np.atleast_2d(np.asarray(series, dtype=np.float64))
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("a series of latencies holds positive finite numbers only")
    rows = np.log(values)
    centred: Floats = rows - np.median(rows, axis=1, keepdims=True) if rows.size else rows
    return centred


def _profile(rows: Floats) -> Floats:
    profile: Floats = rows[0] if len(rows) == 1 else np.median(rows, axis=0)
    return profile


def _significant_split(rows: Floats, rng: np.random.Generator) -> int | None:
    """The best split of these points, or None when permuted points split as well more often than P_VALUE."""
    points = rows.shape[1]
    if points < 2 * MIN_SEGMENT:
        return None
    profile = _profile(rows)
    statistic, split = _best_split(profile)
    block_length = _block_length(profile, split)
    allowed_hits = math.floor(P_VALUE * (PERMUTATIONS + 1)) - 1  # p = (hits + 1) / (permutations + 1)
    hits = 0
    for _ in range(PERMUTATIONS):
        permuted = np.array([row[_permutation(points, block_length, rng)] for row in rows])
        hits += _best_split(_profile(permuted))[0] >= statistic * (1 - 1e-12)
        if hits > allowed_hits:
            return None
    return split


def _best_split(profile: Floats) -> tuple[float, int]:
    """The energy statistic of the best split into two parts of at least MIN_SEGMENT points, and its place."""
    points = len(profile)
    sums = np.abs(profile[:, None] - profile[None, :]).cumsum(0).cumsum(1)
    left = np.arange(MIN_SEGMENT, points - MIN_SEGMENT + 1)
    right = points - left
    within_left = sums[left - 1, left - 1]
    between = sums[left - 1, -1] - within_left
    within_right = sums[-1, -1] - within_left - 2 * between
    energy = left * right / points * (2 * between / (left * right) - within_left / left**2 - within_right / right**2)
    best = int(np.argmax(energy))
    return float(energy[best]), int(left[best])


def _block_length(profile: Floats, split: int) -> int:
    """How many neighbours stay together when points are permuted: (1 + rho) / (1 - rho).

    Both estimates of rho err upwards, each for its own reason, so the smaller one counts.
    """
    residuals = np.concatenate([part - np.median(part) for part in (profile[:split], profile[split:])])
    rho = min(autocorrelation(residuals), _autocorrelation_of_differences(profile))
    return math.ceil((1 + rho) / (1 - rho)) if rho > _AUTOCORRELATION else 1


def _permutation(points: int, block_length: int, rng: np.random.Generator) -> NDArray[np.intp]:
    if block_length == 1:
        return rng.permutation(points)
    first = int(rng.integers(1, block_length + 1))
    blocks: list[NDArray[Any]] = np.split(np.arange(points), np.arange(first, points, block_length))
    return np.concatenate([blocks[index] for index in rng.permutation(len(blocks))])


def _merged(profile: Floats, starts: list[int]) -> tuple[int, ...]:
    """Without the changes that are too small to matter, the smallest removed first."""
    while starts:
        medians = [float(np.median(part)) for part in np.split(profile, starts)]
        steps = np.abs(np.diff(medians))
        smallest = int(np.argmin(steps))
        if steps[smallest] >= math.log1p(MERGE_RATIO):
            break
        del starts[smallest]
    return tuple(starts)
