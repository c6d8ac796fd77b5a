"""Where the mean request spent its time, from the server's own stamps on the clock that client and server share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.requests import Requests
from bench.core.served import Attribution

from .columns import Bools, is_answered, select, steady

_NO_STAMPS = "the server does not tell when it did what"
_ALL_VOID = "no request has stamps in their order and between sending and answer"


def attribute(requests: Requests) -> Attribution:
    """Mean ms of one answered request after the warm-up, by layer; layers add up to the end-to-end latency exactly
    where every answer carried stamps that make sense, else as far as the stamped requests are like the others."""
    settled = steady(requests)
    answered = select(settled, is_answered(settled))
    if not len(answered.status):
        return Attribution(reason="no request was answered")
    end_to_end_ms = _mean_ms(answered.done_ns - answered.planned_ns)
    valid = select(answered, are_sound(answered))
    if not len(valid.status):
        return Attribution(
            client_ms=_mean_ms(answered.sent_ns - answered.planned_ns),
            server_ms=_mean_ms(answered.done_ns - answered.sent_ns),
            end_to_end_ms=end_to_end_ms,
            reason=_ALL_VOID if has_stamps(answered).any() else _NO_STAMPS,
        )
    received, dequeued, decoded, started, inferred, encoded = valid.stamps[:, 1:].T
    return Attribution(
        client_ms=_mean_ms(valid.sent_ns - valid.planned_ns),
        transport_ms=_mean_ms((received - valid.sent_ns) + (valid.done_ns - encoded)),
        queue_ms=_mean_ms((dequeued - received) + (started - decoded)),
        deserialise_ms=_mean_ms(decoded - dequeued),
        infer_ms=_mean_ms(inferred - started),
        serialise_ms=_mean_ms(encoded - inferred),
        end_to_end_ms=end_to_end_ms,
        requests=len(valid.status),
    )


def has_stamps(requests: Requests) -> Bools:
    """Per request, whether its answer carried stamps at all."""
    carried: Bools = (requests.stamps != 0).max(axis=1)
    return carried


def are_sound(requests: Requests) -> Bools:
    """Per request, whether its stamps are in their order and lie between sending and answer."""
    moments = np.column_stack((requests.sent_ns, requests.stamps[:, 1:], requests.done_ns))
    sound: Bools = has_stamps(requests) & (np.diff(moments, axis=1).min(axis=1) >= 0)
    return sound


def void_stamps(requests: Requests) -> tuple[int, int]:
    """How many answers carried stamps that make no sense, and how many carried stamps."""
    answered = select(requests, is_answered(requests))
    carried = int(has_stamps(answered).sum())
    return carried - int(are_sound(answered).sum()), carried


def repeated_answers(requests: Requests) -> int:
    """How many answers were some other request's: the same worker tells the same times to the nanosecond."""
    told = requests.stamps[is_answered(requests) & has_stamps(requests)]
    return len(told) - len(np.unique(told, axis=0)) if len(told) else 0


def _mean_ms(durations_ns: NDArray[Any]) -> float:
    return float(np.mean(durations_ns)) / 1e6
