"""What a search may claim of the rate it found: flags for what disturbed it, and its confidence in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from bench.core.results import Flag
from bench.core.served import ProbeResult

from .saturation import Saturation

#: Every flag of a search, with the condition under which it is raised.
SEARCH_FLAGS: Mapping[str, str] = {
    "search-problem": "a load was not the server's doing, even when repeated",
    "search-non-monotone": "a rate clearly missed the objective that a rate over 5 % higher clearly kept",
    "search-shortened": "the budget paid for less than the full search",
    "search-ceiling": "the closed loop was still getting faster with more callers, or its client was the limit",
}
_RATE = ("confirmed_per_s",)


def flags_of(results: Sequence[ProbeResult], limit_ms: float, scale: float, saturation: Saturation) -> tuple[Flag, ...]:
    """All flags that a search earns, in the order of `SEARCH_FLAGS`; `scale` is the share of the full search."""
    return (*_problem(results), *_non_monotone(results, limit_ms), *_shortened(scale), *_ceiling(saturation))


def confidence_of(confirmed: ProbeResult, scale: float, *, percent: int = 99) -> str:
    """What the confirmed rate is worth, in one sentence."""
    sentence = f"kept in a load of its own of {confirmed.requests} requests"
    interval = confirmed.in_time_ratio.interval
    if interval is not None:
        sentence += f", of which {confirmed.in_time_ratio.value:.2%} [{interval.low:.2%}–{interval.high:.2%}] in time"
    if scale == 1 and percent == 99:
        return f"{sentence}; of 100 simulated searches like this, 99 were at most 2 % too high"
    if scale == 1:
        return sentence
    return f"{sentence}; the search was shortened to {scale:.0%}, so the rate may be several percent off"


def _problem(results: Sequence[ProbeResult]) -> list[Flag]:
    twice = [later for earlier, later in itertools.pairwise(results) if earlier.problem and later.problem]
    if not twice:
        return []
    text = f"at {twice[0].rate_per_s:.4g} requests per second and above nothing can be said: {twice[0].problem}"
    return [Flag(name="search-problem", text=text, affects=_RATE)]


def _non_monotone(results: Sequence[ProbeResult], limit_ms: float) -> list[Flag]:
    missed = [result for result in results if _p99(result) > limit_ms * (1 + _doubt(result))]
    kept = [result for result in results if not result.problem and _p99(result) < limit_ms / (1 + _doubt(result))]
    lowest = min((result.rate_per_s for result in missed if not result.problem), default=None)
    highest = max((result.rate_per_s for result in kept), default=None)
    if lowest is None or highest is None or highest <= 1.05 * lowest:
        return []
    text = (
        f"the objective is missed at {lowest:.4g} and kept at {highest:.4g} requests per second, as servers that wait"
        " for a batch do: look at the whole curve, one highest rate does not describe it"
    )
    return [Flag(name="search-non-monotone", text=text, affects=_RATE)]


def _shortened(scale: float) -> list[Flag]:
    text = f"the budget paid for {scale:.0%} of the full search; give it more requests for a rate good to some percent"
    return [Flag(name="search-shortened", text=text, affects=_RATE)] if scale < 1 else []


def _ceiling(saturation: Saturation) -> list[Flag]:
    most, callers = saturation.x_max_per_s, saturation.steps[-1][0] if saturation.steps else 0
    text = (
        f"{callers} callers did not reach the limit of the server, so it may do more than the {most:.4g} requests per"
        " second below which was searched: raise serving.max_concurrency, or give the client a core of its own"
    )
    return [] if saturation.is_limit else [Flag(name="search-ceiling", text=text, affects=_RATE)]


def _doubt(result: ProbeResult) -> float:
    """By how much a p99 must be off the objective to be clearly off: that of short loads scatters."""
    return 0.1 + 10 / math.sqrt(result.requests)


def _p99(result: ProbeResult) -> float:
    return float("inf") if result.p99_ms is None or result.saturated else result.p99_ms
