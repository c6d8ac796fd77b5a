"""One drive: a plan of arrivals or a number of callers, sent to a target, and all that is known of it afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from .driver import keep_outstanding
from .record import Drive, Record
from .schedule import Arrivals
from .shards import drive_in_shards
from .single import drive_part, finished, running
from .target import Target


def drive_open(
    target: Target,
    arrivals: Arrivals,
    *,
    timeout_s: float,
    keep_every: int = 0,
    input_seed: int = 0,
    processes: int = 1,
) -> Drive:
    """Send requests as they are planned, whatever becomes of the earlier ones, and wait for the last to end.

    Every planned request is in the result. Its time-out counts from its planned time: what has not been answered
    `timeout_s` later ends as TIMED_OUT, or as UNSENT. Of every `keep_every` answers one is kept whole (0: none), up to
    64 MiB in all. With more than one of `processes` request i is sent by process i % processes; the caller must leave
    them cores. TargetError when no connection can be had, HostError when a process of them is lost.
    """
    if processes > 1:
        return drive_in_shards(
            target,
            arrivals,
            timeout_s=timeout_s,
            keep_every=keep_every,
            input_seed=input_seed,
            processes=processes,
        )
    return drive_part(
        target.transport,
        target.payloads,
        arrivals,
        timeout_s=timeout_s,
        keep_every=keep_every,
        input_seed=input_seed,
    )


def drive_closed(
    target: Target,
    *,
    concurrency: int,
    duration_s: float,
    timeout_s: float,
    keep_every: int = 0,
    inputs: Sequence[int] | None = None,
    max_requests: int | None = None,
) -> Drive:
    """Keep `concurrency` requests outstanding for `duration_s`, or until `max_requests` were sent; then await the rest.

    `inputs` are numbers of payloads, sent in this order and from the start again; None sends all in turn. A caller that
    found no server rests for 10 ms. For saturation throughput and times without load: a closed loop hides stalls.
    """
    if not 1 <= concurrency <= target.max_connections:
        raise ValueError(f"{concurrency} callers: this target bears 1 to {target.max_connections}, see max_connections")
    record = Record(timeout_ns=round(timeout_s * 1e9), keep_every=keep_every)
    transport = target.transport
    with running(transport, record, connections=concurrency) as cost:
        cost.start()
        keep_outstanding(
            transport,
            record,
            itertools.cycle(range(target.payloads) if inputs is None else inputs),
            concurrency=concurrency,
            end_ns=transport.now_ns() + round(duration_s * 1e9),
            max_requests=1 << 62 if max_requests is None else max_requests,
        )
    return finished(transport, record, cost)
