"""The timed loop: a bare pair of clock readings around each call, and nothing else between them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.core.collector import collector_paused

#: First calls of a block, kept but never counted: the first after a switch of workers is 20 to 35 % slow (cold
#: caches), the fourth is normal.
SETTLING_CALLS = 3


def time_calls(call: Callable[[], Any], calls: int, *, now_ns: Callable[[], int] = time.perf_counter_ns) -> list[int]:
    """Latency in ns of each of `calls` calls, in order; the same promises as `time_calls_rotating`."""
    latencies_ns = [0] * calls
    held = output = None
    with collector_paused():
        # The loop of the rotating one without its iterator, which costs a tenth of a pair of clock readings per call.
        for index in range(calls):
            started_ns = now_ns()
            output = call()
            latencies_ns[index] = now_ns() - started_ns
            held = output
    del held, output
    return latencies_ns


def time_calls_rotating(
    bound: Sequence[Callable[[], Any]], calls: int, *, now_ns: Callable[[], int] = time.perf_counter_ns
) -> list[int]:
    """Latency in ns of `calls` calls that take turns through `bound` (distinct inputs): call i runs bound[i % len].

    A call must return only when its outputs are in host memory; what it leaves running behind is not seen. `now_ns`
    must be monotonic. An error of a call passes through, with the collector back as it was.
    """
    latencies_ns = [0] * calls
    held = output = None
    with collector_paused():
        for index, call in zip(range(calls), itertools.cycle(bound), strict=False):
            started_ns = now_ns()
            output = call()
            latencies_ns[index] = now_ns() - started_ns
            # `held` keeps each output alive through the next call, so that freeing it is never timed, and memory
            # stays at two outputs, as in service; all outputs of a block could be gigabytes of fresh pages.
            held = output
    del held, output
    return latencies_ns
