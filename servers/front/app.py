"""The front as an ASGI application: reads requests, hands them to workers, sends their answers.

It knows nothing of tensors and decodes nothing: what a path means, and how its answer is written, is the worker's
(`servers.app`). Its own are two paths: `IDENTITY_PATH`, answered once all workers are there, and one for each worker.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.core.serving import IDENTITY_PATH
from servers.app import RECEIVED_NS
from servers.batching import Full
from servers.counters import Counters
from servers.http_messages import (
    ClientGone,
    Receive,
    Refused,
    Response,
    Scope,
    Send,
    json_response,
    read_body,
    refusal,
    respond,
)

from .jobs import octets_of, text_of
from .processes import WORKERS_PATH
from .transport import HeadTooLarge

if TYPE_CHECKING:
    from .config import FrontConfig
    from .transport import Dispatcher
    from .waiting import Waiting

_CODING = b"content-encoding"


class FrontApplication:
    """Called by a server once for each request (https://asgi.readthedocs.io)."""

    def __init__(self, config: FrontConfig, waiting: Waiting, dispatcher: Dispatcher) -> None:
        self._config = config
        self._waiting = waiting
        self._dispatcher = dispatcher
        self._count = Counters(Path(config.server.counters_dir)).add  # of what no worker gets to see

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served, not {scope['type']}")
        path = scope["path"]
        try:
            if path == IDENTITY_PATH:
                response = self._identity()
            elif path.startswith(WORKERS_PATH):
                response = self._worker(path.removeprefix(WORKERS_PATH))
            else:
                response = await self._passed_on(scope, receive)
        except Refused as error:
            response = refusal(error)
        except ClientGone:
            return
        await respond(send, response)

    def _identity(self) -> Response:
        """The first worker's, with all of them beside; 503 names how many are there while some are not."""
        workers = self._waiting.workers
        if len(workers) < self._config.workers:
            raise Refused(503, f"{len(workers)} of {self._config.workers} workers are there")
        return json_response({**msgspec.to_builtins(workers[0]), "workers": workers})

    def _worker(self, number: str) -> Response:
        identity = self._waiting.worker(int(number)) if number.isdecimal() else None
        if identity is None:
            raise Refused(503, f"worker {number[:20]} is not there")
        return json_response(identity)

    async def _passed_on(self, scope: Scope, receive: Receive) -> Response:
        # What is packed stays so: the worker unpacks it.
        headers = {name: value for name, value in scope["headers"] if name != _CODING}
        body = await read_body(receive, headers, self._config.server.max_body_bytes)
        received_ns = scope.get(RECEIVED_NS) or time.perf_counter_ns()
        if not self._waiting.workers:
            raise self._refused("no worker is there")
        try:
            reply = await self._waiting.ask(
                self._dispatcher.dispatch,
                (scope["method"], scope["path"], text_of(scope["headers"])),
                body,
                received_ns,
            )
        except Full:
            raise self._refused("as many requests wait as may; try again") from None
        except HeadTooLarge:
            raise Refused(431, "the head of the request is larger than what is passed on") from None
        return Response(reply.head.status, tuple(octets_of(reply.head.headers)), reply.body)

    def _refused(self, why: str) -> Refused:
        self._count("received")
        self._count("refused")
        return Refused(503, why, (b"retry-after", b"1"))
