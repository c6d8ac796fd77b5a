"""The HTTP side of a model as an ASGI application: our own path, KServe's and TensorFlow Serving's, one model behind.

Every request whose body arrived is counted as received, and then as exactly one of answered, failed and refused.
"""

from __future__ import annotations

import gc
import logging
import time
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import BenchError
from bench.core.serving import STAMPS_HEADER, Stamps
from bench.wire.compression import compressed
from bench.wire.encoding import WireError
from bench.wire.kserve_messages import LENGTH_HEADER

from .batching import Full, Inference
from .config import can_batch
from .counters import Counters
from .exchange import CONTENT_TYPES, Exchange
from .http_messages import (
    ClientGone,
    Headers,
    Receive,
    Refused,
    Response,
    Scope,
    Send,
    read_body,
    refusal,
    respond,
)
from .model import ServedModel
from .pages import pages

if TYPE_CHECKING:
    from .config import ServerConfig
    from .exchange import Decode

#: Key of a scope: when the body was whole, in ns of CLOCK_MONOTONIC, where the server tells.
RECEIVED_NS = "bench.received_ns"

_STAMPS = STAMPS_HEADER.encode()
_LENGTH_HEADER = LENGTH_HEADER.encode()
_LISTS_BETWEEN_COLLECTIONS = 50_000
_MIN_COMPRESSED_BYTES = 512
_GZIP = ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
_log = logging.getLogger(__name__)


class Application:
    """One model over HTTP; called by a server once for each request (https://asgi.readthedocs.io)."""

    def __init__(self, config: ServerConfig) -> None:
        """Opens the model; TargetError or another BenchError says why it cannot be."""
        self._model = ServedModel(config.service, config.nonce)
        self._worker = self._model.identity.pid
        batching = config.batching if can_batch(self._model.inputs, self._model.outputs) else None
        self._inference = Inference(self._model.run, max_waiting=config.max_waiting, batching=batching)
        self._count = Counters(Path(config.counters_dir)).add
        self._max_body_bytes = config.max_body_bytes
        self._exchange = Exchange(
            config.service.model, self._model.inputs, self._model.outputs, tokenizer=config.service.tokenizer
        )
        self._inference_paths = frozenset(self._exchange.paths)
        self._pages = pages(self._model, Path(config.counters_dir))
        _collect_rarely()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served, not {scope['type']}")
        try:
            if scope["method"] == "POST" and scope["path"] in self._inference_paths:
                response = await self._inferred(scope, receive)
            else:
                response = self._page(scope["path"], scope["method"])
        except Refused as error:
            response = refusal(error)
        except ClientGone:
            return
        await respond(send, response)

    def gathering(self) -> AbstractContextManager[None]:
        """Requests that are begun inside are meant for one batch."""
        return self._inference.gathering()

    def close(self) -> None:
        """Answer what waits, then give the model back; a call that does not end keeps it."""
        if self._inference.close():
            self._model.close()

    async def _inferred(self, scope: Scope, receive: Receive) -> Response:
        headers: Headers = dict(scope["headers"])
        decode = self._exchange.decoder(scope["path"], headers.get(b"content-type", b"").decode("latin-1"))
        if decode is None:
            raise Refused(415, f"the content-type is not known; {', '.join(CONTENT_TYPES)} are")
        body = await read_body(receive, headers, self._max_body_bytes)
        dequeued_ns = time.perf_counter_ns()
        self._count("received")
        try:
            response = await self._answered(decode, headers, body, (scope.get(RECEIVED_NS, dequeued_ns), dequeued_ns))
        except Refused as error:
            self._count("refused" if error.status == 503 else "failed")
            raise
        self._count("answered")
        return response

    async def _answered(self, decode: Decode, headers: Headers, body: bytes, arrived_ns: tuple[int, int]) -> Response:
        length = headers.get(_LENGTH_HEADER)
        try:
            batch, answer = decode(body, {} if length is None else {LENGTH_HEADER: length.decode("latin-1")})
        except WireError as error:
            raise Refused(400, str(error)) from error
        decoded_ns = time.perf_counter_ns()
        try:
            job = self._inference.submit(batch)
        except Full as error:
            raise Refused(503, "as many requests wait as may; try again", (b"retry-after", b"1")) from error
        await job.done
        if job.error is not None:
            raise _failure(job.error)
        try:
            message = answer(job.outputs)
        except WireError as error:
            raise Refused(500, str(error)) from error
        content, more = _packed(message.body, headers)
        stamps = Stamps(
            worker=self._worker,
            received_ns=arrived_ns[0],
            dequeued_ns=arrived_ns[1],
            decoded_ns=decoded_ns,
            started_ns=job.started_ns,
            inferred_ns=job.inferred_ns,
            encoded_ns=time.perf_counter_ns(),
        )
        return Response(200, (*_encoded(message.headers), *more, (_STAMPS, stamps.text().encode())), content)

    def _page(self, path: str, method: str) -> Response:
        page = self._pages.get(path)
        if page is not None and method in {"GET", "HEAD"}:
            return page()
        if page is None and path not in self._inference_paths:
            raise Refused(404, self._unknown(path))
        raise Refused(405, f"{method[:20]} is not allowed here", (b"allow", b"POST" if page is None else b"GET, HEAD"))

    def _unknown(self, path: str) -> str:
        for prefix in ("/v1/models/", "/v2/models/"):
            if path.startswith(prefix):
                return (
                    f"{path.removeprefix(prefix)[:100]!r} is not served, only the model {self._model.service.model!r}"
                )
        return f"{path[:100]!r} is no path of this server; /docs shows them"


def _collect_rarely() -> None:
    """Leave what is loaded out of garbage collections, and have fewer of them.

    A JSON body of an image is thousands of lists, and would be looked through several times while it is read: a third
    of such a request's time. The process serves one model, so this is nobody else's business.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_LISTS_BETWEEN_COLLECTIONS)


def _failure(error: Exception) -> Refused:
    if isinstance(error, BenchError):
        return Refused(500, error.message)
    if isinstance(error, MemoryError):
        return Refused(500, f"the model ran out of memory {error}".strip())
    _log.error("a call of the model failed", exc_info=error)
    return Refused(500, f"the server failed: {type(error).__name__}")


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


def _packed(body: bytes, headers: Headers) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The body in gzip where the client takes it and it is worth it, and what to say of it."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or b"gzip" not in accepted or b"gzip;q=0" in accepted or len(body) < _MIN_COMPRESSED_BYTES:
        return body, ()
    return compressed(body), _GZIP
