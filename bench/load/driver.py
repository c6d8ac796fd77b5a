"""The loop that sends on time: one for the machine and for a simulation, which differ in their transport only.

The open loop never waits for an answer before it sends the next request, and a request's time counts from when it was
planned, however late it could be sent: a stall of the server is felt by all who would have come meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from bench.core.requests import TIMED_OUT, UNSENT

from .record import Record
from .transport import Transport

NEVER_NS = 1 << 62
#: Requests sent in a row before looking for answers: in a burst or a backlog neither side may keep the other waiting.
_SENDS_IN_A_ROW = 16
#: A caller of the closed loop whose request found no server rests, or refusals would be counted by the million.
_REST_NS = 10_000_000


def send_as_planned(transport: Transport, record: Record) -> None:
    """Send every request of the record's plan when it is due, and return when the last has ended.

    A request that no connection could take is sent as soon as one can, in order. When the record's time-out has passed
    since its planned time, a request ends as TIMED_OUT, or as UNSENT.
    """
    now_ns, send, wait = transport.now_ns, transport.send, transport.wait
    timeout_ns = record.timeout_ns
    sent_ns, done_ns, payloads = record.sent_ns, record.done_ns, record.input
    planned_ns = [*record.planned_ns, NEVER_NS]
    count = len(payloads)
    position = oldest = 0  # the next to be sent, and the first that has not ended
    due_ns = planned_ns[0]
    while True:
        now = now_ns()
        while oldest < count and done_ns[oldest]:
            oldest += 1
        if oldest == count:
            return
        deadline_ns = planned_ns[oldest] + timeout_ns
        if deadline_ns <= now:
            position = _expire(transport, record, oldest, position, now - timeout_ns)
            due_ns = planned_ns[position]
            continue
        wake_ns = due_ns
        in_a_row = _SENDS_IN_A_ROW
        while due_ns <= now and in_a_row:
            if not send(position, payloads[position]):
                wake_ns = NEVER_NS  # until a connection is free, which is an event of its own
                break
            sent_ns[position] = now
            position += 1
            wake_ns = due_ns = planned_ns[position]
            in_a_row -= 1
            now = now_ns()
        wait(min(wake_ns, deadline_ns))


def _expire(transport: Transport, record: Record, oldest: int, position: int, latest_ns: int) -> int:
    """End all requests planned up to `latest_ns` that have not ended; the next one to be sent, `position` or later."""
    timeout_ns = record.timeout_ns
    for request in range(oldest, len(record.planned_ns)):
        planned_ns = record.planned_ns[request]
        if planned_ns > latest_ns:
            break
        if request >= position:
            record.finish(request, UNSENT, planned_ns + timeout_ns)
            position = request + 1
        elif not record.done_ns[request]:
            transport.cancel(request)
            record.finish(request, TIMED_OUT, planned_ns + timeout_ns)
    return position


def keep_outstanding(
    transport: Transport,
    record: Record,
    payloads: Iterator[int],
    *,
    concurrency: int,
    end_ns: int,
    max_requests: int,
) -> None:
    """Keep `concurrency` requests outstanding until `end_ns` or until `max_requests` were sent; return when all ended.

    `payloads` never ends. A transport without room for as many keeps fewer outstanding.
    """
    now_ns, wait = transport.now_ns, transport.wait
    sent_ns, done_ns, timeout_ns = record.sent_ns, record.done_ns, record.timeout_ns
    resting: deque[int] = deque()  # until when each caller that found no server rests
    refused = oldest = 0
    payload = next(payloads)
    while True:
        now = now_ns()
        if record.unanswered > refused:
            resting.extend([now + _REST_NS] * (record.unanswered - refused))
            refused = record.unanswered
        while resting and resting[0] <= now:
            resting.popleft()
        is_open = now < end_ns and len(sent_ns) < max_requests
        outstanding = len(sent_ns) - record.finished
        if is_open and outstanding + len(resting) < concurrency and _send_now(transport, record, now, payload):
            payload = next(payloads)
            continue
        if not is_open and not outstanding:
            return
        while oldest < len(done_ns) and done_ns[oldest]:
            oldest += 1
        deadline_ns = sent_ns[oldest] + timeout_ns if outstanding else NEVER_NS
        if deadline_ns <= now:
            transport.cancel(oldest)
            record.finish(oldest, TIMED_OUT, deadline_ns)
            continue
        wait(min(deadline_ns, end_ns if is_open else NEVER_NS, resting[0] if resting else NEVER_NS))


def _send_now(transport: Transport, record: Record, now: int, payload: int) -> bool:
    record.add(now, payload)
    if transport.send(len(record.sent_ns) - 1, payload):
        return True
    record.withdraw()
    return False
