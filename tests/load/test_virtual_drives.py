"""Drives on a virtual clock: what is reported about a server in arithmetic is the truth, to the nanosecond."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.core.requests import DISCONNECTED, OK_HTTP, TIMED_OUT, UNSENT, Requests
from bench.load import (
    Arrivals,
    Drive,
    SimulatedServer,
    drive_closed,
    drive_open,
    offsets_ns,
    simulated_target,
)
from bench.load.record import Record
from tests.load.lindley import latencies_ns

MS = 1_000_000
SECOND = 1_000_000_000


def _latencies(requests: Requests) -> list[int]:
    found: list[int] = (requests.done_ns - requests.planned_ns).tolist()
    return found


def _open(server: SimulatedServer, arrivals: Arrivals, timeout_s: float = 30, **target: int) -> Drive:
    return drive_open(simulated_target(server, **target), arrivals, timeout_s=timeout_s)


@pytest.mark.parametrize("rate", [10, 100, 199])
def test_below_saturation_at_a_constant_rate_every_latency_is_the_service_time(rate: float) -> None:
    drive = _open(SimulatedServer(service_ns=5 * MS), Arrivals(kind="constant", rate_per_s=rate, duration_s=5))
    assert set(_latencies(drive.requests)) == {5 * MS}
    assert set(drive.requests.status.tolist()) == {OK_HTTP}
    assert drive.requests.sent_ns.tolist() == drive.requests.planned_ns.tolist()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_throughput_of_a_closed_loop_is_the_servers(concurrency: int) -> None:
    target = simulated_target(SimulatedServer(service_ns=5 * MS))
    drive = drive_closed(target, concurrency=concurrency, duration_s=10, timeout_s=30)
    latencies = _latencies(drive.requests)
    assert len(latencies) == 2000 + concurrency - 1  # 1/S for 10 s, and those that then are still outstanding
    assert set(latencies[concurrency:]) == {concurrency * 5 * MS}
    throughput = 1999 / ((drive.requests.done_ns[1999] - drive.requests.done_ns[0]) / SECOND)
    assert throughput * latencies[-1] / SECOND / concurrency == pytest.approx(1)  # Little: N = X R


@pytest.mark.parametrize("connections", [400, 4])
@pytest.mark.parametrize("seed", range(3))
def test_each_request_has_the_latency_of_lindleys_recursion(seed: int, connections: int) -> None:
    arrivals = Arrivals(kind="poisson", rate_per_s=100, count=4000, seed=seed)
    rng = np.random.default_rng(seed)
    services = np.where(rng.random(4000) < 0.95, 5 * MS, 50 * MS).tolist()
    drive = _open(SimulatedServer(service_ns=services), arrivals, max_connections=connections)
    assert _latencies(drive.requests) == latencies_ns(offsets_ns(arrivals).tolist(), services)


@pytest.mark.parametrize("connections", [400, 4])
def test_a_stall_is_felt_by_all_who_would_have_come_meanwhile(connections: int) -> None:
    arrivals = Arrivals(kind="constant", rate_per_s=100, duration_s=20)
    server = SimulatedServer(service_ns=5 * MS, stalls=((5 * SECOND + 1, SECOND),))
    drive = _open(server, arrivals, max_connections=connections)
    latencies = _latencies(drive.requests)
    planned = (drive.requests.planned_ns).tolist()
    assert latencies == latencies_ns(planned, [5 * MS] * 2000, (5 * SECOND + 1, SECOND))
    assert np.percentile(latencies, 99) / MS == pytest.approx(900, rel=0.02)


def test_a_closed_loop_hides_the_same_stall() -> None:
    server = SimulatedServer(service_ns=5 * MS, stalls=((5 * SECOND, SECOND),))
    drive = drive_closed(simulated_target(server), concurrency=1, duration_s=20, timeout_s=30)
    assert np.percentile(_latencies(drive.requests), 99) < 50 * MS


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9])
def test_waiting_times_of_poisson_arrivals_are_those_of_queueing_theory(load: float) -> None:
    """M/D/1 and M/M/1; that drives report Lindley's recursion is shown above, so a million requests are pure numpy."""
    offsets = offsets_ns(Arrivals(kind="poisson", rate_per_s=1000 * load, count=1_000_000, seed=11)) / 1e6
    waits = _waits(offsets, np.ones(1_000_000))
    assert waits.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.02)
    services = np.random.default_rng(5).standard_exponential(1_000_000)
    latencies = _waits(offsets, services) + services
    assert np.percentile(latencies, 99) == pytest.approx(math.log(100) / (1 - load), rel=0.03 if load < 0.9 else 0.08)


def _waits(arrivals: np.ndarray, services: np.ndarray) -> np.ndarray:
    """Lindley's recursion as a running maximum: W(n) = S(n) - min S, with S the sum of services less gaps."""
    steps = np.concatenate([[0.0], np.cumsum(services[:-1] - np.diff(arrivals))])
    waits: np.ndarray = steps - np.minimum.accumulate(steps)
    return waits


def test_two_servers_work_side_by_side() -> None:
    drive = _open(
        SimulatedServer(service_ns=10 * MS, servers=2), Arrivals(kind="burst", burst_size=4, rate_per_s=10, count=4)
    )
    assert _latencies(drive.requests) == [10 * MS, 10 * MS, 20 * MS, 20 * MS]


def test_what_is_never_answered_times_out_from_its_planned_time_and_holds_up_nobody() -> None:
    endings = dict.fromkeys(range(49, 1000, 50), TIMED_OUT)
    server = SimulatedServer(service_ns=1 * MS, endings=endings)
    drive = _open(server, Arrivals(kind="constant", rate_per_s=100, count=1000), timeout_s=2)
    lost = drive.requests.status == TIMED_OUT
    assert np.flatnonzero(lost).tolist() == list(endings)
    assert set((drive.requests.done_ns - drive.requests.planned_ns)[lost].tolist()) == {2 * SECOND}
    assert set((drive.requests.done_ns - drive.requests.planned_ns)[~lost].tolist()) == {1 * MS}


def test_statuses_are_kept_as_the_server_gave_them() -> None:
    endings = dict.fromkeys(range(32, 990, 33), 500)
    drive = _open(SimulatedServer(service_ns=MS, endings=endings), Arrivals(kind="constant", rate_per_s=50, count=990))
    assert np.flatnonzero(drive.requests.status == 500).tolist() == list(endings)
    assert np.count_nonzero(drive.requests.status == OK_HTTP) == 960


def test_requests_that_no_connection_could_take_in_time_are_unsent_and_counted() -> None:
    server = SimulatedServer(service_ns=3 * SECOND)
    plan = Arrivals(kind="burst", burst_size=10, rate_per_s=10, count=10)
    requests = _open(server, plan, timeout_s=1, max_connections=2).requests
    assert requests.status.tolist() == [TIMED_OUT] * 2 + [UNSENT] * 8
    unsent = requests.status == UNSENT
    assert set(requests.sent_ns[unsent].tolist()) == {0}
    assert set((requests.done_ns - requests.planned_ns)[unsent].tolist()) == {SECOND}


def test_an_answer_after_the_time_out_is_none_however_late_the_client_looked() -> None:
    record = Record(timeout_ns=100)
    record.plan([1000, 2000, 3000], [0, 0, 0])
    for request, status, done_ns in ((0, OK_HTTP, 1100), (1, OK_HTTP, 2101), (2, DISCONNECTED, 3500)):
        record.finish(request, status, done_ns)
    requests = record.requests()
    assert requests.status.tolist() == [OK_HTTP, TIMED_OUT, TIMED_OUT]
    assert requests.done_ns.tolist() == [1100, 2100, 3100]


def test_a_slow_client_shows_in_the_lag_and_not_in_less_latency() -> None:
    drive = _open(
        SimulatedServer(service_ns=0), Arrivals(kind="constant", rate_per_s=20_000, count=2000), send_ns=100_000
    )
    lag = drive.requests.sent_ns - drive.requests.planned_ns
    assert np.percentile(lag, 99) > 90 * MS
    assert (drive.requests.done_ns - drive.requests.planned_ns >= lag).all()


def test_callers_of_a_closed_loop_without_a_server_rest_between_attempts() -> None:
    server = SimulatedServer(service_ns=0, endings=dict.fromkeys(range(10_000), DISCONNECTED))
    drive = drive_closed(simulated_target(server), concurrency=2, duration_s=1, timeout_s=1)
    assert len(drive.requests.status) == pytest.approx(200, abs=4)


def test_a_closed_loop_sends_what_it_is_told_in_turn_and_no_more() -> None:
    target = simulated_target(SimulatedServer(service_ns=MS), payloads=5)
    drive = drive_closed(target, concurrency=2, duration_s=9, timeout_s=1, inputs=(4, 0, 2), max_requests=7)
    assert drive.requests.input.tolist() == [4, 0, 2, 4, 0, 2, 4]
    all_in_turn = drive_closed(target, concurrency=1, duration_s=9, timeout_s=1, max_requests=7)
    assert all_in_turn.requests.input.tolist() == [0, 1, 2, 3, 4, 0, 1]


def test_a_closed_loop_goes_on_after_an_answer_that_never_came() -> None:
    server = SimulatedServer(service_ns=MS, endings={3: TIMED_OUT})
    drive = drive_closed(simulated_target(server), concurrency=1, duration_s=4, timeout_s=1, max_requests=100)
    assert np.flatnonzero(drive.requests.status == TIMED_OUT).tolist() == [3]
    assert len(drive.requests.status) == 100
    assert drive.requests.done_ns[3] - drive.requests.sent_ns[3] == SECOND


def test_more_callers_than_connections_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="3 callers"):
        drive_closed(
            simulated_target(SimulatedServer(service_ns=1), max_connections=2), concurrency=3, duration_s=1, timeout_s=1
        )


def test_a_plan_without_requests_ends_at_once() -> None:
    drive = _open(SimulatedServer(service_ns=1), Arrivals(kind="poisson", rate_per_s=1e-9, duration_s=1))
    assert len(drive.requests.planned_ns) == 0
    assert drive.requests.stamps.shape == (0, 7)
