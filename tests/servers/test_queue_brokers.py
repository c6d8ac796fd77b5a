"""Real brokers between the front and its workers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER
from servers.queue import Queue
from tests.servers.http_servers import direct_answer, null_service
from tests.servers.running import Deployed, deployed, descendants, listening_addresses, site_in, wait_until
from tests.wire.signatures import HTTP

pytestmark = pytest.mark.slow

BATCH = {"input": np.arange(8, dtype=np.float32).reshape(2, 4) / 7}
ONE = {"input": np.ones((1, 4), np.float32)}


@contextlib.contextmanager
def up(directory: Path, broker: str, *, options: dict[str, Any] | None = None, **behaviour: Any) -> Iterator[Deployed]:
    chosen = Queue.Options(broker=broker, **(options or {}))
    if blockers := Queue().blockers("null", chosen):
        pytest.skip("; ".join(blockers))
    service, site = null_service(directory, **behaviour), site_in(directory)
    with deployed(Queue().describe(service, chosen, site), service, site) as running:
        yield running


def check_answers(running: Deployed) -> None:
    """As the model gives them, in every encoding, whatever their size, from both workers and no other machine's."""
    front = running.front
    wanted = direct_answer(front.service, BATCH)
    for encoding in HTTP:
        found = front.decoded(encoding, front.send(encoding, BATCH))
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)
    large = {"input": np.arange(4 * 100_000, dtype=np.float32).reshape(-1, 4)}
    found = front.decoded("binary", front.send("binary", large))
    np.testing.assert_array_equal(found["output"], direct_answer(front.service, large)["output"])
    assert len(front.get(IDENTITY_PATH).json["workers"]) == 2
    worker, *times = map(int, front.send("binary", ONE).headers[STAMPS_HEADER].split(","))
    assert times == sorted(times)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: front.send("binary", ONE), range(40)))
    assert {answer.status for answer in answers} == {200}
    assert worker in workers_of(running)
    assert all(running.counts()[pid].answered > 10 for pid in workers_of(running))
    trees = [psutil.Process(process.pid) for process in running.processes.values()]
    trees += [each for process in running.processes.values() for each in descendants(process)]
    assert listening_addresses(trees) <= {"127.0.0.1", "::1"}


def check_end_of_broker(running: Deployed, broker: str, name: str) -> None:
    """What waits is answered, the workers leave."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        before = received(running)
        asked = pool.submit(running.front.send, "binary", ONE)
        wait_until(lambda: received(running) > before, pause_s=0.001)
        running.processes[broker].kill()
        lost = asked.result()
    assert lost.status == 503
    assert lost.error.startswith(f"{name} has ended: ")
    assert running.front.send("binary", ONE).error == "no worker is there"
    for worker, process in running.processes.items():
        if worker.startswith("worker-") and process.poll() != -signal.SIGKILL:
            assert process.wait(5) == 0
            assert f"{name} cannot be reached" in running.log(worker)


def workers_of(running: Deployed) -> dict[int, str]:
    return {process.pid: name for name, process in running.processes.items() if name.startswith("worker-")}


def received(running: Deployed) -> int:
    return sum(running.counts()[pid].received for pid in workers_of(running))


def test_rabbitmq_brings_requests_to_workers_and_gives_those_of_a_lost_one_to_another(tmp_path: Path) -> None:
    with up(tmp_path, "rabbitmq", options={"workers": 2}, service_ms=100.0) as running:
        check_answers(running)
        before = {pid: running.counts()[pid].received for pid in workers_of(running)}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(running.front.send, "binary", ONE)
            wait_until(lambda: received(running) > sum(before.values()), pause_s=0.001)
            (first,) = (pid for pid, count in before.items() if running.counts()[pid].received > count)
            running.processes[workers_of(running)[first]].kill()
            answer = asked.result()
        (second,) = before.keys() - {first}
        assert answer.status == 200
        assert answer.headers[STAMPS_HEADER].startswith(f"{second},")
        check_end_of_broker(running, "rabbitmq", "RabbitMQ")


def test_redis_brings_requests_to_workers_and_its_end_is_told(tmp_path: Path) -> None:
    with up(tmp_path, "redis", options={"workers": 2}, service_ms=30.0) as running:
        check_answers(running)
        check_end_of_broker(running, "redis", "Redis")


def test_requests_that_wait_in_a_queue_are_one_call_of_a_worker(tmp_path: Path) -> None:
    with up(tmp_path, "redis", options={"max_batch": 8, "batch_delay_ms": 200.0}) as running:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: running.front.send("binary", ONE), range(8)))
        assert {answer.status for answer in answers} == {200}
        calls = {answer.headers[STAMPS_HEADER].split(",")[4] for answer in answers}  # when inference began
        assert len(calls) <= 2
