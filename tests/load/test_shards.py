"""Several processes that send one plan: nothing is lost, doubled or rounded when their columns are put together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.core.errors import HostError, TargetError
from bench.core.requests import OK_HTTP
from bench.core.serving import Endpoint
from bench.load import (
    Arrivals,
    Drive,
    Facts,
    Sample,
    SimulatedServer,
    Target,
    drive_open,
    offsets_ns,
    open_target,
    simulated_target,
)
from bench.load.record import merge
from bench.load.shards import ShardJob
from bench.wire import Message
from tests.load.scripted import read_request, serving

PLAN = Arrivals(kind="poisson", rate_per_s=200, count=101, seed=5)
FACTS = Facts(cpu_s=1, wall_s=2, run_delay_s=0.5, connections_opened=3, bytes_sent=4, bytes_received=5, unsolicited=1)


def _endpoint(port: int) -> Endpoint:
    return Endpoint(protocol="http", port=port, encoding="binary", model="m")


def _echo(connection: socket.socket, number: int) -> None:
    while request := read_request(connection):
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nbench-stamps: 1,2,3,4,5,6,7\r\ncontent-length: %d\r\n\r\n" % len(request[1])
            + request[1]
        )


def _part(whole: Drive, turn: int, parts: int) -> Drive:
    columns = {
        name: getattr(whole.requests, name)[turn::parts]
        for name in ("planned_ns", "sent_ns", "done_ns", "status", "input", "verdict", "stamps")
    }
    samples = [sample for sample in whole.samples if sample.position % parts == turn]
    return Drive(
        requests=type(whole.requests)(**columns),
        samples=tuple(
            Sample(position=sample.position // parts, input=sample.input, body=sample.body, headers=sample.headers)
            for sample in samples
        ),
        facts=FACTS,
    )


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_parts_merge_to_the_whole_exactly(parts: int) -> None:
    services = np.random.default_rng(0).integers(1, 5_000_000, 1000).tolist()
    target = simulated_target(SimulatedServer(service_ns=services), payloads=3)
    whole = drive_open(target, Arrivals(kind="poisson", rate_per_s=300, count=1000, seed=1), timeout_s=9)
    whole = replace(
        whole, samples=tuple(Sample(position=row, input=0, body=b"%d" % row, headers={}) for row in range(0, 1000, 7))
    )
    merged = merge([_part(whole, turn, parts) for turn in range(parts)])
    for name in ("planned_ns", "sent_ns", "done_ns", "status", "input", "verdict", "stamps"):
        assert getattr(merged.requests, name).tobytes() == getattr(whole.requests, name).tobytes()
    assert merged.samples == whole.samples
    latencies = whole.requests.done_ns - whole.requests.planned_ns
    for percent in (50, 90, 99, 99.9):
        found = np.percentile(merged.requests.done_ns - merged.requests.planned_ns, percent)
        assert found == np.percentile(latencies, percent)
    assert merged.facts == replace(
        FACTS,
        cpu_s=parts,
        run_delay_s=parts / 2,
        connections_opened=3 * parts,
        bytes_sent=4 * parts,
        bytes_received=5 * parts,
        unsolicited=parts,
        processes=parts,
    )


@pytest.mark.slow
def test_two_processes_send_the_plan_of_one() -> None:
    payloads = [Message(path="/", body=b"%d" % number) for number in range(5)]
    with serving(_echo) as port, open_target(_endpoint(port), payloads) as target:
        one = drive_open(target, PLAN, timeout_s=5, keep_every=10, input_seed=3)
        two = drive_open(target, PLAN, timeout_s=5, keep_every=10, input_seed=3, processes=2)
    requests = two.requests
    assert np.diff(requests.planned_ns).tolist() == np.diff(offsets_ns(PLAN)).tolist()
    assert requests.input.tolist() == one.requests.input.tolist()
    assert set(requests.status.tolist()) == {OK_HTTP}
    assert (requests.stamps == [1, 2, 3, 4, 5, 6, 7]).all()
    assert (requests.sent_ns >= requests.planned_ns).all()
    assert [sample.position for sample in two.samples] == [0, 1, 20, 21, 40, 41, 60, 61, 80, 81, 100]
    assert all(sample.body == b"%d" % requests.input[sample.position] for sample in two.samples)
    assert two.facts.processes == 2
    assert two.facts.bytes_sent == one.facts.bytes_sent


def test_the_errors_of_a_shard_are_the_callers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        open_target(_endpoint(port), [Message(body=b"", path="/")]) as target,
        pytest.raises(TargetError, match=str(port)),
    ):
        drive_open(target, PLAN, timeout_s=1, processes=2)


def test_a_shard_that_dies_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("bench.load.shards.sys.executable", str(program))
    with open_target(_endpoint(1), [Message(body=b"", path="/")]) as target, pytest.raises(HostError, match="status 3"):
        drive_open(target, PLAN, timeout_s=1, processes=2)


def test_a_simulation_is_not_driven_by_several() -> None:
    target: Target = simulated_target(SimulatedServer(service_ns=1))
    with pytest.raises(ValueError, match="simulation"):
        drive_open(target, PLAN, timeout_s=1, processes=2)


@pytest.mark.slow
def test_a_shard_dies_with_whoever_started_it(tmp_path: Path) -> None:
    job = ShardJob(
        endpoint=_endpoint(1), payloads=(), max_connections=1, arrivals=PLAN, timeout_s=1, keep_every=0, input_seed=0,
        turn=0, parts=1, parent=1,
    )  # fmt: skip
    path = tmp_path / "job.json"
    with serving(_echo) as port:
        job = replace(job, endpoint=_endpoint(port), payloads=(Message(body=b"", path="/"),))
        starter = (
            "import msgspec, os, subprocess, sys, time\n"
            "path = sys.argv[1]\n"
            "job = msgspec.json.decode(open(path).read()) | {'parent': os.getpid()}\n"
            "open(path, 'wb').write(msgspec.json.encode(job))\n"
            "shard = subprocess.Popen([sys.executable, '-m', 'bench.load.shard', path], stdin=0, stdout=1)\n"
            "time.sleep(60)\n"
        )
        path.write_bytes(msgspec.json.encode(job))
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", starter, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            assert b"ready" in process.stdout.readline()
            (shard,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
            process.send_signal(signal.SIGKILL)
            process.wait()
            deadline = time.monotonic() + 5
            while _runs(shard) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not _runs(shard)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False
