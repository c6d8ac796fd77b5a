"""The highest rate with p99 within an objective: bracket, fit, step back, confirm.

Bisecting on the p99 of short loads finds a rate that is too high by over 2 % in a quarter of the searches, because
a lucky load is believed. Here log p99 is fitted against log 1 / (1 - rate / most possible) at four rates, which is what
a queue makes of it, and only a rate that kept the objective in a long load of its own is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.core.served import ProbeResult, SearchResult

from .findings import confidence_of, flags_of
from .saturation import Saturation

Probe = Callable[[float, int], ProbeResult]

#: Of the most that the server can do; above, p99 says how long one looked.
_HIGHEST_RATIO = 0.97
_FEWEST_REQUESTS = 250  # of one load; the p99 of fewer is that of its three slowest
_FIT_RATIOS = (0.88, 0.94, 1.0, 1.05)  # of the middle of the bracket


@dataclass(frozen=True, kw_only=True, slots=True)
class Slo:
    """p99 from when each request was due is at most `latency_ms`, and at most `error_budget_ratio` of them fail.

    A caller that gives another percentile in the place of p99 says so in `percent`.
    """

    latency_ms: float
    error_budget_ratio: float = 0.0
    percent: int = 99

    def is_kept(self, result: ProbeResult) -> bool:
        """Whether a load kept the objective and is to be believed."""
        return (
            not result.problem
            and not result.saturated
            and result.p99_ms is not None
            and result.p99_ms <= self.latency_ms
            and result.error_ratio <= self.error_budget_ratio
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """How many requests a search buys; the defaults are what its accuracy was simulated with.

    With a smaller budget, of requests or of seconds at the rates found, every load is shortened alike, and the steps
    below the fitted rate grow: with an eighth of the requests, one simulated search in 20 is over 2 % too high or
    finds nothing, and the others are at most 13 % too low.
    """

    bracket_probes: int = 4
    bracket_requests: int = 1_500
    fit_requests: int = 80_000  # the bracket's included
    confirm_requests: int = 20_000
    max_confirmations: int = 10
    step_back_ratio: float = 0.02
    back_off_ratio: float = 0.03
    budget_requests: int | None = None
    budget_s: float | None = None

    def step_back(self, scale: float) -> float:
        """Of the fitted rate: what a fit is off by grows with the root of the requests that it lacks."""
        return min(0.15, self.step_back_ratio / math.sqrt(scale))

    def back_off(self, scale: float) -> float:
        """Of a rate that was not confirmed; a short search cannot afford many small steps."""
        return min(0.15, self.back_off_ratio / math.sqrt(math.sqrt(scale)))

    @property
    def full_requests(self) -> int:
        """What an unshortened search takes with a second fit and a third confirmation."""
        return self.fit_requests + 4 * self.confirm_requests

    def scale(self, x_max_per_s: float) -> float:
        """The share of the full search that the budgets pay for, at most 1."""
        affordable = [float(self.full_requests)]
        if self.budget_requests is not None:
            affordable.append(self.budget_requests)
        if self.budget_s is not None:
            affordable.append(self.budget_s * x_max_per_s * 0.75)  # most probes are at about that much of it
        return min(affordable) / self.full_requests


def search(probe: Probe, slo: Slo, saturation: Saturation, settings: SearchSettings | None = None) -> SearchResult:
    """Find the rate with loads that `probe(rate_per_s, requests)` runs; see `find_saturation` for the other argument.

    A load with a `problem` is repeated once.
    """
    settings = settings or SearchSettings()
    trail = _Trail(probe=probe, slo=slo, settings=settings, x_max_per_s=saturation.x_max_per_s)
    low, high = _bracket(trail)
    fitted = _fit(trail, (low + high) / 2) if low > 0 else None
    confirmed = _confirm(trail, fitted) if fitted is not None else None
    held, failed = trail.bracket()
    return SearchResult(
        slo_ms=slo.latency_ms,
        confirmed_per_s=confirmed.rate_per_s if confirmed else None,
        fitted_per_s=fitted,
        held_per_s=held,
        failed_per_s=failed,
        x_max_per_s=saturation.x_max_per_s,
        knee_concurrency=saturation.knee_concurrency,
        **({"in_time_ratio": confirmed.in_time_ratio} if confirmed else {}),
        requests=sum(result.requests for result in trail.results),
        confidence=confidence_of(confirmed, trail.scale * trail.shortest, percent=slo.percent) if confirmed else "",
        reason="" if confirmed else _reason(trail, fitted),
        probes=tuple(trail.results),
        flags=flags_of(trail.results, slo.latency_ms, trail.scale * trail.shortest, saturation),
    )


@dataclass
class _Trail:
    """What a search has probed so far, and what it may still spend."""

    probe: Probe
    slo: Slo
    settings: SearchSettings
    x_max_per_s: float
    results: list[ProbeResult] = field(default_factory=list)
    shortest: float = 1.0  # of the loads, the least share of the requests asked for that was sent

    @property
    def scale(self) -> float:
        return self.settings.scale(self.x_max_per_s)

    def run(self, rate_per_s: float, requests: int) -> ProbeResult:
        """One load, and once more where its numbers are not the server's."""
        for _ in range(2):
            asked = max(_FEWEST_REQUESTS, round(requests * self.scale))
            result = self.probe(rate_per_s, asked)
            self.results.append(result)
            self.shortest = min(self.shortest, result.requests / asked)
            if not result.problem:
                break
        return result

    def affords(self, requests: int) -> bool:
        """Whether a load of so many requests is still within the budget; without a need to save, it always is."""
        spent = sum(result.requests for result in self.results)
        return self.scale == 1 or spent + requests * self.scale <= self.settings.full_requests * self.scale

    def bracket(self) -> tuple[float | None, float | None]:
        """Highest rate that kept the objective, and lowest that did not."""
        held = [result.rate_per_s for result in self.results if self.slo.is_kept(result)]
        failed = [result.rate_per_s for result in self.results if not result.problem and not self.slo.is_kept(result)]
        return max(held, default=None), min(failed, default=None)


def _bracket(trail: _Trail) -> tuple[float, float]:
    """Halve the range of rates with cheap loads; a lower end of 0: no rate kept the objective.

    A server that waits for a batch to fill may miss it at every low rate and keep it at a high one, so that is tried.
    """
    low, high = 0.0, trail.x_max_per_s
    for _ in range(trail.settings.bracket_probes):
        middle = (low + high) / 2
        if trail.slo.is_kept(trail.run(middle, trail.settings.bracket_requests)):
            low = middle
        else:
            high = middle
    high_rate = 0.75 * trail.x_max_per_s
    if not low and trail.slo.is_kept(trail.run(high_rate, trail.settings.bracket_requests)):
        return high_rate, trail.x_max_per_s
    return low, high


def _fit(trail: _Trail, centre: float) -> float:
    """The rate at which the fitted p99 meets the objective; measured around once more where it lay outside."""
    settings = trail.settings
    rates = _rates_around(trail, centre)
    requests = settings.fit_requests - settings.bracket_probes * settings.bracket_requests
    fitted = _fitted_rate(trail, rates, requests)
    if 0.95 * rates[0] <= fitted <= 1.02 * rates[-1]:
        return fitted
    return _fitted_rate(trail, _rates_around(trail, fitted), settings.confirm_requests)


def _rates_around(trail: _Trail, centre: float) -> list[float]:
    return sorted({min(centre * ratio, _HIGHEST_RATIO * trail.x_max_per_s) for ratio in _FIT_RATIOS})


def _fitted_rate(trail: _Trail, rates: Sequence[float], requests: int) -> float:
    results = [trail.run(rate, requests // len(rates)) for rate in rates]
    usable = [result for result in results if result.p99_ms and not result.saturated and not result.problem]
    fitted = solve_for_rate(
        [result.rate_per_s for result in usable],
        [result.p99_ms or 0.0 for result in usable],
        trail.x_max_per_s,
        trail.slo.latency_ms,
    )
    if fitted is None:  # p99 does not rise with the rate, so that only what was seen to hold is left
        fitted = trail.bracket()[0] or rates[0]
    return min(max(fitted, 0.7 * rates[0]), 1.3 * rates[-1], _HIGHEST_RATIO * trail.x_max_per_s)


def solve_for_rate(
    rates_per_s: Sequence[float], p99s_ms: Sequence[float], x_max_per_s: float, limit_ms: float
) -> float | None:
    """Where the line of log p99 over log 1 / (1 - rate / x_max) meets the limit; None where it does not rise."""
    if len(rates_per_s) < 2:
        return None
    remoteness = -np.log1p(-np.asarray(rates_per_s) / x_max_per_s)
    slope, level = np.polyfit(remoteness, np.log(p99s_ms), 1)
    if slope < 1e-3:
        return None
    return x_max_per_s * -math.expm1(-(math.log(limit_ms) - level) / slope)


def _confirm(trail: _Trail, fitted: float) -> ProbeResult | None:
    """The first load that keeps the objective, from a little below the fitted rate downwards."""
    settings = trail.settings
    rate = fitted * (1 - settings.step_back(trail.scale))
    for attempt in range(settings.max_confirmations):
        if attempt and not trail.affords(settings.confirm_requests):
            return None
        result = trail.run(rate, settings.confirm_requests)
        if trail.slo.is_kept(result):
            return result
        rate *= 1 - settings.back_off(trail.scale)
    return None


def _reason(trail: _Trail, fitted: float | None) -> str:
    if trail.results[-1].problem:
        return f"the last load cannot be believed: {trail.results[-1].problem}"
    if fitted is None:
        least = min(trail.results, key=lambda result: result.rate_per_s)
        p99 = "among the failed" if least.p99_ms is None else f"{least.p99_ms:.3g} ms"
        return f"no rate keeps it: p99 is {p99} even at {least.rate_per_s:.3g} requests per second; raise the objective"
    return f"no load confirmed the fitted rate of {fitted:.4g} requests per second; search again with a larger budget"
