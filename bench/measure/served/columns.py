"""What can be read off the columns of a load: who failed, how late each was, and how much of that the client was."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.requests import OK_GRPC, OK_HTTP, UNSENT, Requests

#: The first tenth of a load meets an empty queue and cold caches, and speaks of neither peak nor rest.
WARM_UP_RATIO = 0.1

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def select(requests: Requests, rows: NDArray[Any]) -> Requests:
    """The requests of the given rows (a mask, or places)."""
    return Requests(**{field.name: getattr(requests, field.name)[rows] for field in fields(Requests)})


def is_steady(requests: Requests) -> Bools:
    """Per request, whether it was due after the first tenth of the time; ValueError: there is no request."""
    if not len(requests.planned_ns):
        raise ValueError("a load without a request has nothing to summarise")
    first_ns, last_ns = int(requests.planned_ns[0]), int(requests.planned_ns[-1])
    late: Bools = requests.planned_ns >= first_ns + round(WARM_UP_RATIO * (last_ns - first_ns))
    return late


def steady(requests: Requests) -> Requests:
    """The requests that were due after the first tenth of the time; ValueError: there is no request."""
    return select(requests, is_steady(requests))


def is_answered(requests: Requests) -> Bools:
    """Per request, whether it was answered with a good status."""
    answered: Bools = np.isin(requests.status, (OK_HTTP, OK_GRPC))
    return answered


def is_sent(requests: Requests) -> Bools:
    """Per request, whether it ever left the client."""
    sent: Bools = (requests.status != UNSENT) & (requests.sent_ns > 0)
    return sent


def latencies_ms(requests: Requests) -> Floats:
    """From due to answered; infinite where no good answer came, so that a failure is never faster than an answer."""
    return np.where(is_answered(requests), waited_ms(requests), np.inf)


def waited_ms(requests: Requests) -> Floats:
    """From due to the end, whichever end it was."""
    waited: Floats = (requests.done_ns - requests.planned_ns) / 1e6
    return waited


def client_lag_ms(requests: Requests, connections: int | None) -> Floats:
    """How late the client sent each request, waiting for one of `connections` to be free left out; NaN where unsent.

    With all connections taken by unanswered requests, it is the server who is late: the n-th request cannot be sent
    before n - connections others have ended. None: the client opens as many as it needs.
    """
    sent = np.flatnonzero(is_sent(requests))
    possible_ns = requests.planned_ns.copy()
    if connections is not None and len(sent) > connections:
        freed_ns = np.sort(requests.done_ns[sent])[: len(sent) - connections]
        waiting = sent[np.argsort(requests.sent_ns[sent], kind="stable")][connections:]
        possible_ns[waiting] = np.maximum(possible_ns[waiting], freed_ns)
    lag = np.full(len(possible_ns), np.nan)
    lag[sent] = np.maximum(0, requests.sent_ns[sent] - possible_ns[sent]) / 1e6
    return lag


def unsent_by_client(requests: Requests, connections: int | None) -> int:
    """Requests never sent although a connection was free when they were due: nobody but the client held them back."""
    unsent = ~is_sent(requests)
    if connections is None or not unsent.any():
        return int(unsent.sum())
    due_ns = requests.planned_ns[unsent]
    begun, ended = (np.sort(times[~unsent]) for times in (requests.sent_ns, requests.done_ns))
    under_way = np.searchsorted(begun, due_ns, side="right") - np.searchsorted(ended, due_ns, side="right")
    return int((under_way < connections).sum())


def growth_ratio(waits_ms: Floats, span_ms: float) -> float:
    """Time that waits gained per time of the load: 0.25 where a server does four fifths of what is offered.

    From the medians of the first, second and last third, `span_ms` being the time over which the requests were due. 0
    where the wait does not grow from each third to the next alike: one long stall is no queue that only grows.
    """
    if len(waits_ms) < 30 or span_ms <= 0:
        return 0.0
    first, second, last = (float(np.median(third)) for third in np.array_split(waits_ms, 3))
    gained = last - first
    if gained <= 0 or min(second - first, last - second) < 0.25 * gained:
        return 0.0
    return gained / (span_ms * 2 / 3)
