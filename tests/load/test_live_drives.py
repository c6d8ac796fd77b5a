"""Drives against a real server whose truth is known; on a machine that had no core for them they are inconclusive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.requests import OK_HTTP, read_requests
from bench.core.serving import Endpoint
from bench.load import Arrivals, Drive, Target, drive_closed, drive_open, offsets_ns, open_target
from bench.wire import Message
from tests.load.lindley import latencies_ns

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MS, SECOND = 1_000_000, 1_000_000_000
_MOST_RUN_DELAY = 0.2
_PAYLOADS = [Message(path="/", body=b"")]
_GENERATOR = """
import json, sys
from pathlib import Path
from bench.core.requests import write_requests
from bench.core.serving import Endpoint
from bench.load import Arrivals, drive_open, open_target
from bench.wire import Message

port, rate, count, path = json.loads(sys.argv[1])
endpoint = Endpoint(protocol="http", port=port, encoding="binary", model="m")
print("ready", flush=True)
with open_target(endpoint, [Message(path="/", body=b"")]) as target:
    drive = drive_open(target, Arrivals(kind="constant", rate_per_s=rate, count=count), timeout_s=30)
write_requests(Path(path), drive.requests)
"""


class _Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._schedstat = Path(f"/proc/{pid}/schedstat")

    @contextmanager
    def target(self, **words: Any) -> Iterator[Target]:
        endpoint = Endpoint(protocol="http", port=self.port, encoding="binary", model="m")
        with open_target(endpoint, _PAYLOADS, **words) as target:
            yield target

    def run_delay_s(self) -> float:
        return int(self._schedstat.read_text().split()[1]) / 1e9


@contextmanager
def _server(**words: Any) -> Iterator[_Server]:
    program = ROOT / "benchmarks" / "load_programs" / "fifo_server.py"
    with subprocess.Popen([sys.executable, str(program), json.dumps(words)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield _Server(int(process.stdout.readline()), process.pid)
        finally:
            process.kill()


def _conclusive(drive: Drive, server: _Server) -> Drive:
    share = max(drive.facts.run_delay_s, server.run_delay_s()) / drive.facts.wall_s
    if share > _MOST_RUN_DELAY:
        pytest.skip(f"inconclusive: client or server waited for a core {share:.0%} of the time; try on a quiet machine")
    return drive


def _latencies_ms(drive: Drive) -> np.ndarray:
    latencies: np.ndarray = (drive.requests.done_ns - drive.requests.planned_ns) / MS
    return latencies


def test_percentiles_of_a_bimodal_server_are_those_of_lindleys_recursion() -> None:
    plan = Arrivals(kind="poisson", rate_per_s=100, duration_s=8, seed=1)
    offsets = offsets_ns(plan).tolist()
    services = np.where(np.random.default_rng(5).random(len(offsets)) < 0.95, 5, 50).tolist()
    with _server(services_ms=services) as server, server.target() as target:
        drive = _conclusive(drive_open(target, plan, timeout_s=10), server)
    truth = np.array(latencies_ns(offsets, [service * MS for service in services])) / MS
    for percent in (50, 95, 99):
        expected = np.percentile(truth, percent)
        assert np.percentile(_latencies_ms(drive), percent) == pytest.approx(expected, abs=max(3, 0.02 * expected))


@pytest.mark.parametrize("connections", [4, 400])
def test_a_stall_is_felt_by_all_who_would_have_come_meanwhile(connections: int) -> None:
    plan = Arrivals(kind="constant", rate_per_s=100, duration_s=5)
    stall_ns = (2_005 * MS, 500 * MS)
    with _server(services_ms=[5], stall_s=[2.005, 0.5]) as server, server.target(max_connections=connections) as target:
        drive = _conclusive(drive_open(target, plan, timeout_s=10), server)
    truth = np.array(latencies_ns(offsets_ns(plan).tolist(), [5 * MS] * 500, stall_ns)) / MS
    assert np.percentile(_latencies_ms(drive), 99) == pytest.approx(np.percentile(truth, 99), rel=0.02)
    assert set(drive.requests.status.tolist()) == {OK_HTTP}


def test_a_closed_loop_hides_the_stall_and_obeys_littles_law() -> None:
    with _server(services_ms=[5], stall_s=[1, 0.5]) as server, server.target() as target:
        alone = _conclusive(drive_closed(target, concurrency=1, duration_s=3, timeout_s=10), server)
        four = _conclusive(drive_closed(target, concurrency=4, duration_s=3, timeout_s=10), server)
    assert np.percentile(_latencies_ms(alone), 99) < 50
    latencies_s = _latencies_ms(four) / 1e3
    span_s = (four.requests.done_ns.max() - four.requests.sent_ns.min()) / SECOND
    assert len(latencies_s) / span_s * latencies_s.mean() / 4 == pytest.approx(1, abs=0.01)


def test_requests_leave_on_time_at_two_thousand_a_second() -> None:
    plan = Arrivals(kind="poisson", rate_per_s=2000, duration_s=3, seed=3)
    with _server() as server, server.target() as target:
        drive = _conclusive(drive_open(target, plan, timeout_s=10), server)
    lag_ms = (drive.requests.sent_ns - drive.requests.planned_ns) / MS
    assert np.percentile(lag_ms, 50) < 0.05
    if np.percentile(lag_ms, 99) >= 1:
        pytest.skip("inconclusive: late sends at p99, with other work on this machine; try on a quiet machine")
    achieved = len(lag_ms) / (drive.requests.sent_ns[-1] - drive.requests.planned_ns[0] + 5e5) * 1e9
    assert achieved == pytest.approx(len(lag_ms) / offsets_ns(plan)[-1] * 1e9, rel=0.01)


def _generated(port: int, rate: float, count: int, path: Path, *, stopped_s: float = 0) -> np.ndarray:
    """Send-lag and latency in ms, a row each, of a generator in a process that may be stopped for a while."""
    words = json.dumps([port, rate, count, str(path)])
    with subprocess.Popen(
        [sys.executable, "-c", _GENERATOR, words], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if stopped_s:
            time.sleep(0.5)
            process.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
            process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 0
    requests = read_requests(path)
    return np.stack([requests.sent_ns - requests.planned_ns, requests.done_ns - requests.planned_ns]) / MS


def test_a_generator_that_was_stopped_says_so_and_still_counts_from_the_plan(tmp_path: Path) -> None:
    with _server() as server:
        lag_ms, latency_ms = _generated(server.port, 200, 400, tmp_path / "requests.npz", stopped_s=0.2)
    assert 150 < np.percentile(lag_ms, 99) < 300
    assert (latency_ms >= lag_ms).all()
    assert np.count_nonzero(latency_ms > 50) >= 25  # of the 40 that were due meanwhile


def test_a_generator_asked_for_more_than_it_can_says_so(tmp_path: Path) -> None:
    with _server() as server:
        lag_ms, latency_ms = _generated(server.port, 500_000, 20_000, tmp_path / "requests.npz")
    assert np.percentile(lag_ms, 99) > 100
    assert (latency_ms >= lag_ms).all()
