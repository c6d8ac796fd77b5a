"""A worker behind a front: `python -m servers.front.worker CONFIG.json NUMBER`, until the front or the broker ends.

It is the application that also runs behind uvicorn (`servers.app`), asked by jobs instead of connections: whenever it
is idle it pulls one, or as many as make a batch.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from bench.core.errors import BenchError
from bench.core.serving import IDENTITY_PATH, Identity
from servers.app import RECEIVED_NS, Application
from servers.batching import Inference
from servers.batching import Job as Call

from .config import read_front_config
from .jobs import Hello, Job, JobHead, Reply, ReplyHead, octets_of, text_of
from .transport import open_consumer
from .waiting import refusal

if TYPE_CHECKING:
    from bench.core.contracts import Batch
    from servers.batching import Run
    from servers.config import Batching, ServerConfig

    from .transport import Consumer, Taken

_log = logging.getLogger(__name__)


class Immediate(Inference):
    """Calls the model in the thread that asks: a worker has nothing else to do meanwhile, and changing threads twice
    costs more than many a small model."""

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._loop = loop

    def submit(self, batch: Batch) -> Call:
        """A call that is done."""
        call = Call(batch, self._loop.create_future())
        call.started_ns = time.perf_counter_ns()
        try:
            call.outputs = self._run(batch)
        except Exception as error:  # noqa: BLE001  the worker outlives whatever a call does
            call.error = error
        call.inferred_ns = time.perf_counter_ns()
        call.done.set_result(None)
        return call

    def close(self) -> bool:
        """Nothing waits."""
        return True


class WorkerApplication(Application):
    """The application of a worker, which calls the model itself where each request is a call."""

    def __init__(self, config: ServerConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config)
        if config.batching is None:
            self._inference.close()
            self._inference = Immediate(self._model.run, loop)


class Worker:
    """Answers jobs with one application."""

    def __init__(self, config: ServerConfig) -> None:
        """Opens the model; TargetError or another BenchError says why it cannot be."""
        self._loop = uvloop.new_event_loop()
        self._batching = config.batching
        if config.batching is not None:  # what is collected here is one call at once
            config = replace(config, batching=replace(config.batching, delay_ms=0.0))
        self._application = WorkerApplication(config, self._loop)

    def identity(self) -> Identity:
        """Who the application says it is."""
        head = JobHead(number=0, method="GET", path=IDENTITY_PATH, headers=(), received_ns=0, deadline_ns=0)
        (reply,) = self.replies((Job(head=head, body=b""),))
        return msgspec.json.decode(reply.body, type=Identity)

    def serve(self, consumer: Consumer) -> None:
        """Take jobs and answer them; OSError once there can be no more."""
        while True:
            taken = [_next(consumer)] if self._batching is None else _collected(consumer, self._batching)
            for each, reply in zip(taken, self.replies([each.job for each in taken]), strict=True):
                consumer.answer(each, reply)

    def replies(self, jobs: Sequence[Job]) -> Sequence[Reply]:
        """The answers to jobs that are there together."""
        if self._batching is None:
            return [_at_once(self._reply(job)) for job in jobs]
        return self._loop.run_until_complete(self._all(jobs))

    async def _all(self, jobs: Sequence[Job]) -> Sequence[Reply]:
        with self._application.gathering():
            replies = [asyncio.ensure_future(self._reply(job)) for job in jobs]
            await asyncio.sleep(0)  # each is decoded and submitted before it waits
        return await asyncio.gather(*replies)

    async def _reply(self, job: Job) -> Reply:
        head = job.head
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": job.body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        scope = {
            "type": "http",
            "method": head.method,
            "path": head.path,
            "headers": octets_of(head.headers),
            RECEIVED_NS: head.received_ns,
        }
        try:
            await self._application(scope, receive, send)
        except Exception as error:  # noqa: BLE001  as uvicorn does: one request fails, the server goes on
            _log.exception("the application failed")
            return refusal(head.number, 500, f"the server failed: {type(error).__name__}")
        start, body = said
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        return Reply(
            head=ReplyHead(number=head.number, status=start["status"], headers=text_of(headers)), body=body["body"]
        )


def _at_once(coroutine: Coroutine[object, None, Reply]) -> Reply:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    raise RuntimeError("the application waits for something")


def _next(consumer: Consumer) -> Taken:
    """The next job that is still waited for; others are only given back."""
    while True:
        taken = consumer.take(None)
        if taken is not None and not _is_expired(consumer, taken):
            return taken


def _collected(consumer: Consumer, batching: Batching) -> list[Taken]:
    """The next job, and those that come within the delay, until there are enough for a batch."""
    taken = [_next(consumer)]
    deadline_s = time.monotonic() + batching.delay_ms / 1e3
    while len(taken) < batching.max_batch:
        more = consumer.take(max(deadline_s - time.monotonic(), 0.0))
        if more is not None and not _is_expired(consumer, more):
            taken.append(more)
        elif time.monotonic() >= deadline_s:
            break
    return taken


def _is_expired(consumer: Consumer, taken: Taken) -> bool:
    head = taken.job.head
    if time.perf_counter_ns() <= head.deadline_ns:
        return False
    consumer.answer(taken, refusal(head.number, 504, "the request has waited too long"))
    return True


def main(config_path: Path, number: int) -> int:
    """Work until there can be no more jobs; the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    config = read_front_config(config_path)
    try:
        worker = Worker(config.server)
        consumer = open_consumer(config)
        consumer.attach(Hello(worker=number, identity=worker.identity()))
        worker.serve(consumer)
    except BenchError as error:
        print(f"{error.message}; {error.hint}" if error.hint else error.message, file=sys.stderr)  # noqa: T201  its log
        return error.exit_code
    except OSError as error:
        print(f"worker {number} leaves: {error}", file=sys.stderr)  # noqa: T201
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
