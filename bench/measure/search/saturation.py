"""The most that a server can do: a closed loop with more and more callers, until more bring nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_WORTHWHILE_GAIN = 1.05
_KNEE_RATIO = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Saturation:
    """`x_max_per_s` is the highest throughput seen, `knee_concurrency` the fewest callers with 95 % of it.

    `steps` are (concurrency, requests per second). `is_limit`: more callers brought nothing, so it is the server's.
    """

    x_max_per_s: float
    knee_concurrency: int
    steps: tuple[tuple[int, float], ...]
    is_limit: bool = True


def find_saturation(closed: Callable[[int], float], max_concurrency: int = 32) -> Saturation:
    """Call `closed` with 1, 2, 4 ... callers for its throughput per second, until two doublings in turn gain < 5 %.

    One flat step may be a busy neighbour. ValueError: nothing was ever answered.
    """
    steps: list[tuple[int, float]] = []
    best, flat, concurrency = 0.0, 0, 1
    while concurrency <= max_concurrency and flat < 2:
        throughput = closed(concurrency)
        steps.append((concurrency, throughput))
        flat = 0 if throughput > _WORTHWHILE_GAIN * best else flat + 1
        best = max(best, throughput)
        concurrency *= 2
    if best <= 0:
        raise ValueError("the server answered nothing in a closed loop")
    knee = next(callers for callers, throughput in steps if throughput >= _KNEE_RATIO * best)
    return Saturation(x_max_per_s=best, knee_concurrency=knee, steps=tuple(steps), is_limit=flat > 0)
