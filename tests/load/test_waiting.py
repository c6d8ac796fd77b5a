"""Waiting to the microsecond, on a machine in arithmetic: timers of its resolution, wake-ups that take their time."""

from __future__ import annotations

import heapq
import math
import random

import numpy as np
import pytest

from bench.load import Arrivals, SimulatedServer, Target, drive_open
from bench.load.simulation import Simulation
from bench.load.waiting import SPIN_NS, Events, Waiter

US = 1_000


class _Machine:
    """A clock that costs 50 ns to read and 1 us to poll, and timers of whole microseconds that wake late."""

    def __init__(self, wake_ns: int = 40 * US) -> None:
        self.now = 1
        self.naps_ns: list[int] = []
        self.ready: list[tuple[int, int]] = []  # when, descriptor
        self.wake_ns = wake_ns

    def now_ns(self) -> int:
        self.now += 50
        return self.now

    def nap(self, seconds: float) -> None:
        self._sleep(math.ceil(seconds * 1e6) * US)

    def _sleep(self, timer_ns: int) -> None:
        timer = self.now + timer_ns
        woken = min(timer, max(self.now, self.ready[0][0])) if self.ready else timer
        self.naps_ns.append(woken - self.now)
        self.now = woken + self.wake_ns

    def poll(self, seconds: float, most: int) -> Events:
        self.now += 1 * US
        if seconds > 0:
            self._sleep(math.ceil(round(seconds * 1e3, 6)) * 1000 * US)
        found: Events = []
        while self.ready and self.ready[0][0] <= self.now and len(found) < most:
            found.append((heapq.heappop(self.ready)[1], 1))
        return found


def _waiter(machine: _Machine) -> Waiter:
    return Waiter(now_ns=machine.now_ns, nap=machine.nap, poll=machine.poll)


def test_a_wait_ends_within_microseconds_of_its_time() -> None:
    machine = _Machine()
    waiter = _waiter(machine)
    rng = random.Random(0)
    for _ in range(2000):
        until = machine.now + round(rng.expovariate(1 / 2e6))
        while machine.now < until:
            assert waiter.wait(until) == []
        assert machine.now - until < 3 * US


def test_a_wait_sleeps_but_for_its_last_moments() -> None:
    machine = _Machine()
    until = 10_000 * US
    while machine.now < until:
        _waiter(machine).wait(until)
    assert sum(machine.naps_ns) == pytest.approx(until - SPIN_NS, abs=machine.wake_ns + 5 * US)
    assert len(machine.naps_ns) == 2


def test_a_wait_ends_when_something_is_ready_and_asks_before_it_sleeps_too_long() -> None:
    machine = _Machine()
    machine.ready = [(300 * US, 7)]
    assert _waiter(machine).wait(10_000 * US) == [(7, 1)]
    assert machine.now < 350 * US
    assert _waiter(machine).wait(1 << 62) == []  # for ever is a second at a time
    assert machine.now < 1_002_000 * US


class _OnMachine(Simulation):
    """The simulated server, reached by the waiting that sockets use."""

    def __init__(self, server: SimulatedServer) -> None:
        super().__init__(server)
        self.machine = _Machine()
        self.now_ns = self.machine.now_ns
        self._waiter = _waiter(self.machine)

    def wait(self, until_ns: int) -> None:
        self.machine.ready = sorted((done_ns, 0) for done_ns, *_ in self._completions)
        for _ in self._waiter.wait(until_ns):
            _, request, status = heapq.heappop(self._completions)
            self._outstanding -= 1
            self._record.finish(request, status, self.machine.now)


def test_requests_leave_within_microseconds_of_their_plan() -> None:
    transport = _OnMachine(SimulatedServer(service_ns=200 * US))
    target = Target(transport, 1, max_connections=1 << 30)
    requests = drive_open(target, Arrivals(kind="poisson", rate_per_s=2000, count=4000, seed=2), timeout_s=1).requests
    lag = requests.sent_ns - requests.planned_ns
    assert lag.min() >= 0
    assert np.percentile(lag, 50) < 5 * US
    assert np.percentile(lag, 99) < 60 * US  # behind a wake-up for an answer
    achieved = (len(lag) - 1) / (requests.sent_ns[-1] - requests.sent_ns[0]) * 1e9
    assert achieved == pytest.approx(2000, rel=0.05)
