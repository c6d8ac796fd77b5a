"""Waiting for descriptors until a moment, to the microsecond.

`epoll.poll` and the event loops above it round a wait up to whole milliseconds, which alone makes every request half a
millisecond late. `select.select` on the epoll's own descriptor rounds to microseconds; what the kernel then needs to
wake a process, tens of microseconds, is spent looking. Only where the time is far is `poll` asked to wait by itself.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.core.errors import HostError

#: So long before its time a wait ends its sleep: longer than nearly every wake-up takes.
SPIN_NS = 80_000
_FAR_NS = 3_000_000
_LONGEST_WAIT_MS = 1000
_MOST_EVENTS = 64
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30  # linux/prctl.h
_LEAST_SLACK_NS = 1_000

Events = list[tuple[int, int]]


class Waiter:
    """Waits on a clock. `nap` sleeps for so many seconds or until something is ready, to the microsecond.

    `poll` tells what is ready, up to so many, or waits for it so many seconds, to the millisecond.
    """

    def __init__(
        self, *, now_ns: Callable[[], int], nap: Callable[[float], object], poll: Callable[[float, int], Events]
    ) -> None:
        self._now_ns = now_ns
        self._nap = nap
        self._poll = poll

    def wait(self, until_ns: int) -> Events:
        """What is ready, as soon as something is; nothing, within the last `SPIN_NS` before `until_ns`."""
        nap_ns = until_ns - self._now_ns() - SPIN_NS
        if nap_ns > _FAR_NS:
            return self._poll((min(_LONGEST_WAIT_MS, nap_ns // 1_000_000) - 1) / 1000, _MOST_EVENTS)
        if nap_ns > 0:
            self._nap(nap_ns * 1e-9)
        return self._poll(0, _MOST_EVENTS)


@contextmanager
def punctual_timers() -> Iterator[None]:
    """Inside, the kernel wakes this thread at most 1 us later than it could, and not 50 us to save wake-ups."""
    libc = ctypes.CDLL(None, use_errno=True)
    before_ns = libc.prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0)
    if libc.prctl(_PR_SET_TIMERSLACK, _LEAST_SLACK_NS, 0, 0, 0) != 0:
        raise HostError(f"prctl(PR_SET_TIMERSLACK): {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.prctl(_PR_SET_TIMERSLACK, before_ns, 0, 0, 0)
