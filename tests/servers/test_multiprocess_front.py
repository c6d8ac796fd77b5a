"""What a front answers itself, and what it passes on, without a server or a worker around it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.core.serving import IDENTITY_PATH, Identity
from servers.app import RECEIVED_NS
from servers.batching import Full
from servers.config import ServerConfig
from servers.counters import read_counters
from servers.front.app import FrontApplication
from servers.front.config import FrontConfig
from servers.front.jobs import Hello, Job, Reply, ReplyHead
from servers.front.transport import HeadTooLarge
from servers.front.waiting import Waiting
from tests.servers.http_servers import null_service

NONCE = "0123456789abcdef"
Answer = tuple[int, dict[bytes, bytes], bytes]


class Mirror:
    """Instead of a transport: answers with what it was given, or cannot take it."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self.jobs: list[Job] = []
        self.problem: Exception | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def dispatch(self, job: Job) -> None:
        if self.problem is not None:
            raise self.problem
        self.jobs.append(job)
        head = ReplyHead(number=job.head.number, status=201, headers=(("x-name", "\xe4"),))
        self.waiting.settle(Reply(head=head, body=job.body))


class Front:
    """A front for two workers, of which `workers` are there."""

    def __init__(self, directory: Path, *, workers: int = 2) -> None:
        (directory / "counters").mkdir()
        self.counters_dir = directory / "counters"
        server = ServerConfig(
            service=null_service(directory),
            nonce=NONCE,
            counters_dir=str(self.counters_dir),
            port=0,
            max_body_bytes=1000,
        )
        config = FrontConfig(server=server, transport="shared_memory", workers=2)
        self.waiting = Waiting(config)
        self.mirror = Mirror(self.waiting)
        self.application = FrontApplication(config, self.waiting, self.mirror)
        for number in range(workers):
            identity = Identity(nonce=NONCE, artifact_id="a1", pid=100 + number)
            assert self.waiting.attach(Hello(worker=number, identity=identity))

    def ask(self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": headers, RECEIVED_NS: 77}
        asyncio.run(self.application(scope, receive, send))
        start, content = said
        return start["status"], dict(start["headers"]), content["body"]

    def error(self, *request: Any) -> tuple[int, str]:
        status, _, body = self.ask(*request)
        return status, msgspec.json.decode(body)["error"]


def test_a_request_is_passed_on_as_it_came_and_so_is_its_answer(tmp_path: Path) -> None:
    front = Front(tmp_path)
    headers = ((b"content-type", b"application/json"), (b"content-encoding", b"gzip"), (b"x", b"\xe4"))
    status, answered, body = front.ask("POST", "/v1/predict", b"packed", headers)
    assert (status, answered[b"x-name"], body) == (201, b"\xe4", b"packed")
    (job,) = front.mirror.jobs
    assert (job.head.method, job.head.path, job.head.received_ns) == ("POST", "/v1/predict", 77)
    assert job.head.headers == (("content-type", "application/json"), ("content-encoding", "gzip"), ("x", "\xe4"))
    assert job.head.deadline_ns == 77 + 60 * 10**9


def test_it_says_who_it_is_once_all_workers_are_there(tmp_path: Path) -> None:
    front = Front(tmp_path, workers=1)
    assert front.error("GET", IDENTITY_PATH) == (503, "1 of 2 workers are there")
    assert front.ask("GET", "/bench/workers/0")[0] == 200
    assert front.error("GET", "/bench/workers/1") == (503, "worker 1 is not there")
    assert front.error("GET", "/bench/workers/x") == (503, "worker x is not there")
    front.waiting.attach(Hello(worker=1, identity=Identity(nonce=NONCE, artifact_id="a1", pid=101)))
    status, _, body = front.ask("GET", IDENTITY_PATH)
    told = msgspec.json.decode(body)
    assert (status, told["nonce"], [each["pid"] for each in told["workers"]]) == (200, NONCE, [100, 101])
    front.waiting.lose(0)
    assert front.error("GET", IDENTITY_PATH) == (503, "1 of 2 workers are there")


@pytest.mark.parametrize("worker", [-1, 2])
def test_a_worker_that_is_none_of_its_own_does_not_count(tmp_path: Path, worker: int) -> None:
    front = Front(tmp_path)
    assert not front.waiting.attach(Hello(worker=worker, identity=Identity(nonce=NONCE, artifact_id="a1", pid=1)))
    assert not front.waiting.attach(Hello(worker=0, identity=Identity(nonce="other", artifact_id="a1", pid=1)))


@pytest.mark.parametrize(
    ("problem", "status", "error"),
    [
        (Full(), 503, "as many requests wait as may; try again"),
        (HeadTooLarge(), 431, "the head of the request is larger than what is passed on"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(tmp_path: Path, problem: Exception, status: int, error: str) -> None:
    front = Front(tmp_path)
    front.mirror.problem = problem
    assert front.error("POST", "/v1/predict", b"x") == (status, error)


def test_what_it_refuses_because_it_is_full_is_counted_and_the_client_told_to_try_again(tmp_path: Path) -> None:
    front = Front(tmp_path, workers=0)
    status, headers, body = front.ask("POST", "/v1/predict", b"x")
    assert (status, headers[b"retry-after"], body) == (503, b"1", b'{"error":"no worker is there"}')
    (counts,) = read_counters(front.counters_dir)
    assert (counts.received, counts.refused, counts.answered, counts.failed) == (1, 1, 0, 0)


def test_a_body_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    front = Front(tmp_path)
    status, error = front.error("POST", "/v1/predict", b"", ((b"content-length", b"1001"),))
    assert (status, error) == (413, "the body has 1001 bytes, at most 1000 are taken")
    assert front.mirror.jobs == []


def test_all_that_waits_is_answered_when_what_connects_the_workers_ends(tmp_path: Path) -> None:
    front = Front(tmp_path)

    async def scenario() -> Reply:
        request = ("POST", "/", ())
        asked = asyncio.create_task(front.waiting.ask(lambda job: None, request, b"", 0))
        await asyncio.sleep(0)
        front.waiting.lose_all("the broker has ended")
        return await asked

    reply = asyncio.run(scenario())
    assert (reply.head.status, reply.body) == (503, b'{"error":"the broker has ended"}')
    assert front.waiting.workers == ()
