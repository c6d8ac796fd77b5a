"""Requests of a front that wait for their answer, and the workers that may give it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from servers import http_messages
from servers.batching import Full

from .jobs import Headers, Hello, Job, JobHead, Reply, ReplyHead, text_of

if TYPE_CHECKING:
    from bench.core.serving import Identity

    from .config import FrontConfig

_SWEEP_S = 0.25

Request = tuple[str, str, Headers]
"""Method, path and headers."""


class Waiting:
    """What a front knows of its requests and its workers; lives in one event loop."""

    def __init__(self, config: FrontConfig) -> None:
        batch = config.server.batching.max_batch if config.server.batching else 1
        #: Jobs that may be on their way at once: those that wait, and those that are worked on.
        self.limit = config.server.max_waiting + config.workers * batch
        self._config = config
        self._futures: dict[int, tuple[int, asyncio.Future[Reply]]] = {}  # number -> deadline_ns, oldest first
        self._numbers = 0
        self._workers: dict[int, Identity] = {}

    # ---------------------------------------------------------------------------------------------------------- workers

    def attach(self, hello: Hello) -> bool:
        """Count a worker in; False when it is none of ours, or of another start."""
        mine = hello.identity.nonce == self._config.server.nonce and 0 <= hello.worker < self._config.workers
        if mine:
            self._workers[hello.worker] = hello.identity
        return mine

    def lose(self, worker: int) -> None:
        """Count a worker out."""
        self._workers.pop(worker, None)

    def lose_all(self, why: str) -> None:
        """Count all workers out, for what connects them has ended, and answer everything that waits."""
        self._workers.clear()
        for number in list(self._futures):
            self.fail(number, 503, why)

    def worker(self, number: int) -> Identity | None:
        """Who the worker of that number is, while it is there."""
        return self._workers.get(number)

    @property
    def workers(self) -> tuple[Identity, ...]:
        """The workers that are there, in their order."""
        return tuple(self._workers[number] for number in sorted(self._workers))

    # --------------------------------------------------------------------------------------------------------- requests

    async def ask(self, dispatch: Callable[[Job], None], request: Request, body: bytes, received_ns: int) -> Reply:
        """Hand a request on and wait for the answer; Full when too many wait already."""
        if len(self._futures) >= self.limit:
            raise Full
        self._numbers += 1
        number, deadline_ns = self._numbers, received_ns + round(self._config.timeout_s * 1e9)
        method, path, headers = request
        head = JobHead(
            number=number,
            method=method,
            path=path,
            headers=headers,
            received_ns=received_ns,
            deadline_ns=deadline_ns,
        )
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._futures[number] = (deadline_ns, future)
        try:
            dispatch(Job(head=head, body=body))
            return await future
        finally:
            del self._futures[number]

    def settle(self, reply: Reply) -> None:
        """Pass an answer on; one that nobody waits for any more is dropped."""
        _, future = self._futures.get(reply.head.number, (0, None))
        if future is not None and not future.done():
            future.set_result(reply)

    def fail(self, number: int, status: int, why: str) -> None:
        """Answer a request with a status of our own."""
        self.settle(refusal(number, status, why))

    async def sweep(self) -> None:
        """Answer what is overdue with 504, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_ns = time.perf_counter_ns()
            for number, (deadline_ns, _) in list(self._futures.items()):
                if deadline_ns > now_ns:
                    break  # later ones have later deadlines
                self.fail(number, 504, f"no worker answered within {self._config.timeout_s:g} s")


def refusal(number: int, status: int, why: str) -> Reply:
    """An answer that says why there is none, in the same form as a server with the model says it."""
    response = http_messages.refusal(http_messages.Refused(status, why))
    return Reply(
        head=ReplyHead(number=number, status=response.status, headers=text_of(response.headers)), body=response.body
    )
