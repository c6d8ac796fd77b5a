"""What the servers of a deployment counted beside what their client did."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from bench.core.served import Served
from bench.measure.served.server_validity import ClientCounts, judge_server

from .deployment import Deployment


def reconciled(served: Served, deployment: Deployment, counts: ClientCounts, started_ns: AbstractSet[int]) -> Served:
    """`served` with both sides' counts and the flags that follow; ServingFailed when a process has ended.

    `started_ns` are the processes that the warm-up met: another one was started again.
    """
    deployment.require_alive()
    told = deployment.counts()
    served = replace(
        served,
        worker_counts=tuple(
            (number, each.answered)
            for number, each in enumerate(told, start=1)
            if each.received > each.refused  # a front that only refuses is no worker
        ),
        restarts=sum(each.started_ns not in started_ns for each in told),
        server_received=sum(each.received for each in told) if told else None,
        server_answered=sum(each.answered for each in told) if told else None,
        client_sent=counts.sent,
    )
    return replace(served, flags=judge_server(served, counts))
