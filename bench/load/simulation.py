"""A server that exists in arithmetic only, on a clock that moves when it is waited for: exact, repeatable, and fast.

Requests queue first come, first served for `servers` equal servers. The truth about each is known (Lindley's recursion
for one server), so what the driver reports about it can be held against that to the nanosecond.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.core.clock import FakeClock
from bench.core.requests import OK_HTTP, TIMED_OUT

from .record import RawAnswer, Record
from .transport import Traffic


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedServer:
    """How a simulated server behaves; times in ns.

    `service_ns`: of every request, or of each in order of arrival, from the start again after the last. `stalls`: start
    and duration, from the start of the simulation's clock; all work rests meanwhile and goes on afterwards. `endings`:
    status of the n-th request that arrives, TIMED_OUT for one that is never answered and holds no server.
    """

    service_ns: int | Sequence[int]
    servers: int = 1
    stalls: tuple[tuple[int, int], ...] = ()
    endings: Mapping[int, int] = field(default_factory=dict)


class Simulation:
    """A transport to a simulated server over at most `max_connections` connections, one request at a time on each.

    `send_ns` is what sending costs the client. The clock starts at 1, for 0 is the time of what never happened.
    """

    def __init__(self, server: SimulatedServer, *, max_connections: int = 1 << 30, send_ns: int = 0) -> None:
        self.clock = FakeClock(start_ns=1)
        self.now_ns = self.clock.now_ns
        self._server = server
        self._service_ns = (
            [server.service_ns] if isinstance(server.service_ns, int) else [int(ns) for ns in server.service_ns]
        )
        self._free_ns = [0] * server.servers  # when each server is free again, a heap
        self._completions: list[tuple[int, int, int]] = []  # when, request, status: a heap
        self._cancelled: set[int] = set()
        self._stalls = sorted(server.stalls)
        self._arrived = 0
        self._outstanding = 0
        self._max_connections = max_connections
        self._send_ns = send_ns
        self._record = Record()

    @contextmanager
    def running(self, record: Record, connections: int) -> Iterator[None]:
        """One drive after the other meets the same server, which is idle by then."""
        self._record = record
        self._completions.clear()
        self._cancelled.clear()
        self._outstanding = 0
        yield

    def lead_ns(self, requests: int) -> int:
        """Nothing takes time that is not said to."""
        return 0

    def send(self, request: int, payload: int) -> bool:
        """The request arrives at once, and its completion is known."""
        if self._outstanding >= self._max_connections:
            return False
        now = self.now_ns()
        self.clock.advance_ns(self._send_ns)
        self._outstanding += 1
        ordinal = self._arrived
        self._arrived += 1
        status = self._server.endings.get(ordinal, OK_HTTP)
        if status == TIMED_OUT:
            return True
        start_ns = max(now, heapq.heappop(self._free_ns))
        done_ns = self._worked(start_ns, self._service_ns[ordinal % len(self._service_ns)])
        heapq.heappush(self._free_ns, done_ns)
        heapq.heappush(self._completions, (done_ns, request, status))
        return True

    def wait(self, until_ns: int) -> None:
        """Move the clock to the next completion, or to `until_ns`."""
        if not self._completions or self._completions[0][0] > until_ns:
            self.clock.advance_ns(max(0, until_ns - self.now_ns()))
            return
        done_ns, request, status = heapq.heappop(self._completions)
        self.clock.advance_ns(max(0, done_ns - self.now_ns()))
        if request in self._cancelled:
            self._cancelled.remove(request)
            return
        self._outstanding -= 1
        self._record.finish(request, status, self.now_ns())

    def cancel(self, request: int) -> None:
        """The connection is free again; the server works on, as a real one would."""
        self._outstanding -= 1
        self._cancelled.add(request)

    def opened(self, answer: RawAnswer) -> tuple[bytes, Mapping[str, str]]:
        """Nothing is ever kept: a simulated answer has no body."""
        return b"", {}

    def traffic(self) -> Traffic:
        """No byte is sent."""
        return Traffic()

    def close(self) -> None:
        """There is nothing to close."""

    def _worked(self, start_ns: int, work_ns: int) -> int:
        """When work that begins at `start_ns` is done, with the server's stalls in between."""
        now = start_ns
        for stall_ns, duration_ns in self._stalls:
            end_ns = stall_ns + duration_ns
            if end_ns <= now:
                continue
            if stall_ns >= now + work_ns:
                break
            work_ns -= max(0, stall_ns - now)
            now = end_ns
        return now + work_ns
