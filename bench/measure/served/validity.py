"""The closed list of flags of served cells, the rules for one load, and the verdict that follows from them.

What the client could not do is never told as what the server can do: a client-limited load has no server numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.core.requests import TIMED_OUT, Requests
from bench.core.results import Flag
from bench.core.served import LoadPoint, Verdict

from .attribution import repeated_answers, void_stamps
from .columns import client_lag_ms, growth_ratio, is_sent, is_steady, steady, unsent_by_client, waited_ms
from .latency import Load, summarise

LATENCY = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "max_ms")
SERVICE = ("service_p50_ms", "service_p99_ms")
RATES = ("achieved_per_s", "goodput_ratio", "goodput_per_s")
ALL = (*LATENCY, *SERVICE, *RATES)

#: Every flag of a served cell, with the condition under which it is raised.
SERVED_FLAGS: Mapping[str, str] = {
    "invalid-agreement": "the served outputs are not those of the same variant in process",
    "invalid-wrong-answers": "a sampled answer was not the expected one",
    "invalid-errors": "more requests failed than the error budget allows",
    "invalid-client-limited": "the client sent late (lag p99 over 1 ms and over 10 % of p50), fell behind by over 1 %, "
    "left requests unsent, or in a closed loop used over 90 % of a core",
    "invalid-saturated": "the queue grew through the whole load: over 1 % of what was offered was not done",
    "invalid-duplicate-answers": "a request was answered twice, or with another request's answer",
    "invalid-clock": "a request ended before it was sent, or was sent before it was due",
    "invalid-server-restarted": "a server process was started again while it was measured",
    "invalid-counts-mismatch": "the servers received another number of requests than the client sent",
    "invalid-missing-answers": "the servers answered requests whose answer the client never got",
    "invalid-caching": "more than 10 % slower on inputs that are new to the server",
    "noisy-stamps": "over 1 % of the stamped answers have stamps out of order or outside sending and answer",
    "noisy-unbalanced-workers": "one worker answered over 1.5 times its share",
    "noisy-co-located": "client and server share processors",
    "coordinated-omission": "a closed loop sends nothing while the server stalls, so its latency leaves stalls out",
}

_VERDICTS: Mapping[str, Verdict] = {
    "invalid-wrong-answers": "wrong answers",
    "invalid-errors": "errors",
    "invalid-client-limited": "client-limited",
    "invalid-saturated": "saturated",
}
_LAG_FLOOR_US = 1_000
_LAG_RATIO = 0.10  # of p50
_CLIENT_CPU_RATIO = 0.90  # of one core
_BEHIND_RATIO = 0.01
_VOID_STAMPS_RATIO = 0.01


def judged_point(requests: Requests, load: Load) -> LoadPoint:
    """The load point with its flags and its verdict; ValueError: there is no request."""
    point = summarise(requests, load)
    flags = judge(point, requests, load)
    return replace(point, flags=flags, verdict=verdict_of(flags))


def judge(point: LoadPoint, requests: Requests, load: Load) -> tuple[Flag, ...]:
    """All flags that this load earns, in the order of `SERVED_FLAGS`; `point` is `summarise(requests, load)`."""
    evidence = _Evidence(point=point, requests=requests, load=load)
    return in_order([flag for rule in _RULES for flag in rule(evidence)])


def in_order(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """One flag of each name, in the order of `SERVED_FLAGS`."""
    found = {flag.name: flag for flag in flags}
    return tuple(found[name] for name in SERVED_FLAGS if name in found)


def verdict_of(flags: Sequence[Flag]) -> Verdict:
    """What the flags make of a load. Of several, what no client can cause comes first: wrong answers and errors."""
    names = {flag.name for flag in flags}
    for name, verdict in _VERDICTS.items():
        if name in names:
            return verdict
    return "invalid" if any(name.startswith("invalid-") for name in names) else "ok"


def is_saturated(requests: Requests, load: Load) -> bool:
    """Whether the queue only grows, so that waiting longer would only make it longer; the client is not at fault."""
    evidence = _Evidence(point=summarise(requests, load), requests=requests, load=load)
    return evidence.is_saturated


@dataclass(frozen=True)
class _Evidence:
    point: LoadPoint
    requests: Requests
    load: Load

    @cached_property
    def sends_late(self) -> bool:
        limit_us = max(_LAG_FLOOR_US, _LAG_RATIO * (self.point.p50_ms.value or 0.0) * 1e3)
        return (self.point.lag_p99_us or 0.0) > limit_us

    @cached_property
    def falls_behind(self) -> float:
        """Share of the offered rate that the client did not reach by itself."""
        if not self.load.is_open:
            return 0.0
        rows = is_steady(self.requests) & is_sent(self.requests)
        return self._growth(client_lag_ms(self.requests, self.load.connections)[rows])

    @cached_property
    def is_busy(self) -> bool:
        """An open load is no case of it: it spins before each request is due, and being late is what tells there."""
        return not self.load.is_open and (self.point.client_cpu_ratio or 0.0) > _CLIENT_CPU_RATIO

    @cached_property
    def unsent_by_client(self) -> int:
        return unsent_by_client(self.requests, self.load.connections)

    @cached_property
    def timed_out_by_client(self) -> int:
        """Requests that timed out after the client had sent them so late that half of their time was gone."""
        timed_out = (self.requests.status == TIMED_OUT) & is_sent(self.requests)
        allowed_ms = (self.requests.done_ns - self.requests.planned_ns) / 1e6
        lag_ms = np.nan_to_num(client_lag_ms(self.requests, self.load.connections))
        return int(np.count_nonzero(timed_out & (lag_ms > allowed_ms / 2))) if self.load.is_open else 0

    @cached_property
    def is_saturated(self) -> bool:
        if not self.load.is_open or self.sends_late or self.falls_behind > _BEHIND_RATIO:
            return False
        return self._growth(waited_ms(self.requests)[is_steady(self.requests) & is_sent(self.requests)]) > _BEHIND_RATIO

    def _growth(self, waits_ms: np.ndarray) -> float:
        planned_ns = steady(self.requests).planned_ns
        grown = growth_ratio(waits_ms, float(planned_ns[-1] - planned_ns[0]) / 1e6)
        return grown / (1 + grown)


def _client_limited(evidence: _Evidence) -> list[Flag]:
    point, found = evidence.point, []
    if evidence.sends_late:
        found.append(f"it sent late (p99 {(point.lag_p99_us or 0) / 1e3:.2f} ms)")
    if evidence.falls_behind > _BEHIND_RATIO:
        found.append(f"it fell {evidence.falls_behind:.1%} behind the offered rate")
    if evidence.is_busy:
        found.append(f"it used {point.client_cpu_ratio:.0%} of a core")
    if evidence.unsent_by_client:
        found.append(f"it never sent {evidence.unsent_by_client} of {point.requests} requests")
    text = (
        f"the client was the limit, not the server: {', '.join(found)}; offer less, give the client a core of its own,"
        " or more connections"
    )
    return [Flag(name="invalid-client-limited", text=text, affects=ALL)] if found else []


def _wrong_answers(evidence: _Evidence) -> list[Flag]:
    point = evidence.point
    text = (
        f"{point.wrong} of {point.checked} sampled answers are wrong: compare one with the variant's answer in process,"
        " first with a single request at a time"
    )
    return [Flag(name="invalid-wrong-answers", text=text, affects=ALL)] if point.wrong else []


def _errors(evidence: _Evidence) -> list[Flag]:
    point, budget = evidence.point, evidence.load.error_budget_ratio
    failed = point.failed - (point.unsent if evidence.is_saturated else evidence.unsent_by_client)
    failed -= evidence.timed_out_by_client
    if failed <= budget * point.requests:
        return []
    text = (
        f"{failed} of {point.requests} requests failed ({point.errors} errors, {point.timed_out} timed out,"
        f" {point.disconnected} disconnected, {point.unsent} unsent), {budget:.2%} may:"
        " read the servers' logs, or offer less"
    )
    return [Flag(name="invalid-errors", text=text, affects=ALL)]


def _saturated(evidence: _Evidence) -> list[Flag]:
    point = evidence.point
    text = (
        f"the queue grew through the whole load: {point.achieved_per_s:.4g} of {point.offered_per_s:.4g} requests per"
        " second were done, and latency depends on how long one looks; offer less"
    )
    return [Flag(name="invalid-saturated", text=text, affects=LATENCY)] if evidence.is_saturated else []


def _duplicate_answers(evidence: _Evidence) -> list[Flag]:
    twice = evidence.load.duplicates + repeated_answers(evidence.requests)
    text = f"{twice} answers came twice or belong to another request: look for a retry in front of the server"
    return [Flag(name="invalid-duplicate-answers", text=text, affects=ALL)] if twice else []


def _clock(evidence: _Evidence) -> list[Flag]:
    requests, sent = evidence.requests, is_sent(evidence.requests)
    disordered = (requests.done_ns < requests.sent_ns) | (requests.sent_ns < requests.planned_ns)
    # One that timed out ends at its deadline, which may have passed before the client got to send it.
    backwards = int(np.count_nonzero(disordered & sent & (requests.status != TIMED_OUT)))
    text = f"{backwards} requests were sent before they were due, or ended before they were sent; report this machine"
    return [Flag(name="invalid-clock", text=text, affects=ALL)] if backwards else []


def _stamps(evidence: _Evidence) -> list[Flag]:
    void, carried = void_stamps(evidence.requests)
    text = (
        f"{void} of {carried} stamped answers have stamps that cannot be, and were left out of the attribution;"
        " check that the server takes them from the monotonic clock, in order"
    )
    return (
        [Flag(name="noisy-stamps", text=text, affects=("attribution",))] if void > _VOID_STAMPS_RATIO * carried else []
    )


def _coordinated_omission(evidence: _Evidence) -> list[Flag]:
    text = (
        "a closed loop sends nothing while it waits, so what a stall would have delayed is not in it: take its"
        " throughput, and the latency from an open load"
    )
    return [] if evidence.load.is_open else [Flag(name="coordinated-omission", text=text, affects=LATENCY)]


_RULES: tuple[Callable[[_Evidence], list[Flag]], ...] = (
    _client_limited,
    _wrong_answers,
    _errors,
    _saturated,
    _duplicate_answers,
    _clock,
    _stamps,
    _coordinated_omission,
)
