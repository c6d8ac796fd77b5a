"""Several processes with the model: the same answers, an even load, and what becomes of it when one is killed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER
from servers.multiprocess import Multiprocess
from tests.servers.http_servers import Answer, Running, direct_answer, null_service
from tests.servers.running import Deployed, deployed, descendants, listening_addresses, site_in, wait_until
from tests.wire.signatures import HTTP

pytestmark = pytest.mark.slow

BATCH = {"input": np.arange(8, dtype=np.float32).reshape(2, 4) / 7}
ONE = {"input": np.ones((1, 4), np.float32)}


@contextlib.contextmanager
def up(directory: Path, balance: str, *, options: dict[str, Any] | None = None, **behaviour: Any) -> Iterator[Deployed]:
    service, site = null_service(directory, **behaviour), site_in(directory)
    chosen = Multiprocess.Options(balance=balance, **(options or {}))
    with deployed(Multiprocess().describe(service, chosen, site), service, site) as running:
        yield running


def ask_all(front: Running, clients: int, requests: int) -> list[Answer]:
    """So many requests by each client, on a new connection each."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda _: front.send("binary", ONE), range(clients * requests)))


def stamps(answer: Answer) -> list[int]:
    return [int(number) for number in answer.headers[STAMPS_HEADER].split(",")]


@pytest.mark.parametrize("balance", ["reuse_port", "shared_memory"])
def test_answers_are_those_of_the_model_whichever_way_the_load_is_spread(tmp_path: Path, balance: str) -> None:
    with up(tmp_path, balance) as running:
        front = running.front
        wanted = direct_answer(front.service, BATCH)
        for encoding in HTTP:
            found = front.decoded(encoding, front.send(encoding, BATCH))
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array)
        packed = front.send("binary", BATCH, {"accept-encoding": "gzip"})
        assert packed.status == 200
        assert front.get(IDENTITY_PATH).json["artifact_id"] == front.service.artifact.id
        assert front.get("/v2/models/m").json["name"] == "m"
        assert front.ask("POST", "/v1/predict", b"x", {"content-type": "application/json"}).status == 400
        assert front.get("/nowhere").status == 404
        assert front.ask("DELETE", "/v1/predict").status == 405
        worker, *times = stamps(front.send("binary", ONE))
        assert times == sorted(times)
        assert worker in running.counts()
        trees = [each for process in running.processes.values() for each in descendants(process)]
        trees += [psutil.Process(process.pid) for process in running.processes.values()]
        assert listening_addresses(trees) == {"127.0.0.1"}
    assert [running.log(name) for name in running.processes] == [""] * len(running.processes)


def test_large_requests_and_answers_pass_through_the_front(tmp_path: Path) -> None:
    large = {"input": np.arange(4 * 200_000, dtype=np.float32).reshape(-1, 4)}
    with up(tmp_path, "shared_memory") as running:
        found = running.front.decoded("binary", running.front.send("binary", large))
        wanted = direct_answer(running.front.service, large)
        np.testing.assert_array_equal(found["output"], wanted["output"])
        refused = running.front.ask(
            "POST", "/v1/predict", headers={"content-length": str((64 << 20) + 1), "content-type": "application/x-npy"}
        )
        assert refused.status == 413


def test_a_front_gives_each_worker_the_same_load_and_counts_it(tmp_path: Path) -> None:
    with up(tmp_path, "shared_memory", options={"workers": 3}) as running:
        workers = {running.processes[f"worker-{number}"].pid for number in range(3)}
        answers = ask_all(running.front, clients=1, requests=300)
        assert all(90 <= running.counts()[pid].answered <= 110 for pid in workers), running.counts()
        answers += ask_all(running.front, clients=6, requests=50)
        assert {answer.status for answer in answers} == {200}
        counts = running.counts()
        assert sum(counts[pid].answered for pid in workers) == 600
        assert {stamps(answer)[0] for answer in answers} == workers
        assert counts[running.processes["front"].pid].received == 0


def test_requests_that_wait_together_are_one_call_of_a_worker(tmp_path: Path) -> None:
    options = {"workers": 1, "max_batch": 8, "batch_delay_ms": 200.0}
    with up(tmp_path, "shared_memory", options=options) as running:
        answers = ask_all(running.front, 8, 1)
        assert {answer.status for answer in answers} == {200}
        calls = {stamps(answer)[4] for answer in answers}  # when inference began
        assert len(calls) <= 2
        wanted = direct_answer(running.front.service, ONE)["output"]
        for answer in answers:
            np.testing.assert_array_equal(running.front.decoded("binary", answer)["output"], wanted)


def test_what_a_killed_worker_had_is_answered_and_the_other_one_goes_on(tmp_path: Path) -> None:
    with (
        up(tmp_path, "shared_memory", service_ms=1500.0) as running,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        asked = [pool.submit(running.front.send, "binary", ONE) for _ in range(2)]
        wait_until(lambda: sum(counts.received for counts in running.counts().values()) == 2)
        running.processes["worker-0"].kill()
        lost, answered = sorted((each.result() for each in asked), key=lambda answer: -answer.status)
        assert (lost.status, lost.error) == (503, "the worker that had the request has ended")
        assert answered.status == 200
        assert running.front.get(IDENTITY_PATH).error == "1 of 2 workers are there"
        assert running.front.get("/bench/workers/0").status == 503
        assert running.front.get("/bench/workers/1").status == 200
        assert running.front.send("binary", ONE).status == 200
        running.processes["worker-1"].kill()
        wait_until(lambda: running.front.get("/bench/workers/1").status == 503)
        refused = running.front.send("binary", ONE)
        assert (refused.status, refused.error) == (503, "no worker is there")
        assert running.counts()[running.processes["front"].pid].refused == 1


def test_workers_leave_by_themselves_when_their_front_is_killed(tmp_path: Path) -> None:
    with up(tmp_path, "shared_memory") as running:
        running.processes["front"].kill()
        for name in ("worker-0", "worker-1"):
            assert running.processes[name].wait(2) == 0
            assert running.log(name).endswith("leaves: the front has ended\n")


def test_gunicorn_starts_a_killed_worker_again_and_its_counts_are_of_another_process(tmp_path: Path) -> None:
    with up(tmp_path, "reuse_port") as running:
        before = set(running.counts())
        assert len(before) == 2
        assert {each.pid for each in descendants(running.processes["gunicorn"])} == before
        killed = min(before)
        psutil.Process(killed).send_signal(signal.SIGKILL)
        wait_until(lambda: len(running.counts()) == 3)
        assert before < set(running.counts())
        assert {answer.status for answer in ask_all(running.front, 4, 5)} == {200}
        assert running.counts()[killed].answered == 0


@pytest.mark.parametrize("balance", ["reuse_port", "shared_memory"])
def test_a_model_that_cannot_be_opened_ends_the_topology_with_its_reason(tmp_path: Path, balance: str) -> None:
    started = time.monotonic()
    with (
        pytest.raises(AssertionError, match=r"ended: .*model.json.*no_such_word"),
        up(tmp_path, balance, no_such_word=1),
    ):
        pass
    assert time.monotonic() - started < 15
