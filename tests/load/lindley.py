"""The truth about a first-come, first-served server, request by request and without the code under test."""

from __future__ import annotations

from collections.abc import Sequence


def latencies_ns(
    arrivals_ns: Sequence[int], services_ns: Sequence[int], stall_ns: tuple[int, int] | None = None
) -> list[int]:
    """Lindley's recursion: a request starts when it has come and the one before it is done.

    `stall_ns`: start and duration of a time in which a request that would start, or run, waits instead.
    """
    found, free = [], 0
    for arrival, service in zip(arrivals_ns, services_ns, strict=True):
        start = max(arrival, free)
        free = start + service
        if stall_ns is not None:
            begin, duration = stall_ns
            if begin <= start < begin + duration:
                free = begin + duration + service
            elif start < begin < free:
                free += duration
        found.append(free - arrival)
    return found
