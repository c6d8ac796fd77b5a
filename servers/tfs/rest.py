"""The REST API of TensorFlow Serving (https://www.tensorflow.org/tfx/serving/api_rest) as an ASGI application."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER
from bench.wire.compression import compressed
from servers.app import RECEIVED_NS
from servers.http_messages import (
    JSON,
    ClientGone,
    Headers,
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

from . import rest_bodies
from .inference import Call, Inference, Target
from .metrics import Metrics
from .status import HTTP_STATUS, StatusError

# As http_rest_api_util.cc has them.
_PREDICTION = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE
)
_MODEL = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE)
_BODIES = {"predict": rest_bodies.predict, "classify": rest_bodies.classify, "regress": rest_bodies.regress}
_COMPRESS_FROM_BYTES = 1024
_GZIP = ((b"content-encoding", b"gzip"), (b"vary", b"accept-encoding"))
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)
_SPARE_CALLS = 32  # questions of other kinds beside those that wait for the model


@dataclass(frozen=True, kw_only=True, slots=True)
class RestSettings:
    """How much to take; `metrics_path` is empty where metrics are not to be had, `threads` 0 are as many as calls may
    be under way."""

    max_body_bytes: int
    max_waiting: int
    threads: int
    timeout_s: float
    metrics_path: str
    allows_other_origins: bool


class RestApp:
    """Answers predictions in threads of its own, and everything else at once."""

    def __init__(self, inference: Inference, metrics: Metrics, settings: RestSettings) -> None:
        self._inference = inference
        self._metrics = metrics
        self._settings = settings
        self._more_headers = _CORS if settings.allows_other_origins else ()
        self._limit = settings.max_waiting + 1 + _SPARE_CALLS
        self._under_way = 0
        self._threads = ThreadPoolExecutor(settings.threads or self._limit, thread_name_prefix="rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope["raw_path"].decode("latin-1")  # not yet unquoted: a name may hold a slash
        try:
            response = await self._post(path, scope, receive) if scope["method"] == "POST" else self._get(path, scope)
        except Refused as error:
            response = refusal(error)
        except StatusError as error:
            response = refusal(Refused(HTTP_STATUS[error.code], error.message))
        except ClientGone:
            return
        await respond(send, Response(response.status, (*response.headers, *self._more_headers), response.body))

    def close(self) -> None:
        """Take no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------------------------ predictions

    async def _post(self, path: str, scope: Scope, receive: Receive) -> Response:
        found = _PREDICTION.fullmatch(path)
        if found is None:
            raise _malformed("POST", path)
        headers: Headers = dict(scope["headers"])
        body = await read_body(receive, headers, self._settings.max_body_bytes)
        gave_up = False
        received_ns = scope.get(RECEIVED_NS) or time.perf_counter_ns()
        verb = found[4].lower()
        call = Call(api=verb.capitalize(), entrypoint="REST", received_ns=received_ns, is_wanted=lambda: not gave_up)
        if self._under_way >= self._limit:
            with self._inference.ended(call, is_counted=True):
                raise StatusError("RESOURCE_EXHAUSTED", f"{self._limit} requests are under way already")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._answer, verb, _target(found), body, call)
        try:
            content, stamps = await asyncio.wait_for(work, self._settings.timeout_s)
        except TimeoutError:
            gave_up = True
            raise Refused(504, f"not answered within {self._settings.timeout_s:g} s") from None
        finally:
            self._under_way -= 1
        packed = _packed(content, headers)
        return Response(200, (JSON, *packed.headers, (STAMPS_HEADER.encode(), stamps.encode())), packed.body)

    def _answer(self, verb: str, target: Target, body: bytes, call: Call) -> tuple[bytes, str]:
        """In a thread: the whole of a call; body and stamps of the answer."""
        call.dequeued_ns = time.perf_counter_ns()
        with self._inference.ended(call, is_counted=True):
            content = _BODIES[verb](self._inference, target, body, call)
        return content, call.stamps()

    # -------------------------------------------------------------------------------------------------------- questions

    def _get(self, path: str, scope: Scope) -> Response:
        if scope["method"] != "GET":
            raise _malformed(scope["method"], path)
        if path == IDENTITY_PATH:
            return self._identity()
        if path == self._settings.metrics_path:
            return Response(200, ((b"content-type", b"text/plain"),), self._metrics.page().encode())
        found = _MODEL.fullmatch(path)
        if found is None:
            raise _malformed("GET", path)
        if not found[1]:
            raise Refused(400, "Missing model name in request.")
        tell: Callable[[Inference, Target], bytes] = rest_bodies.metadata if found[4] else rest_bodies.status
        return Response(200, (JSON,), tell(self._inference, _target(found)))

    def _identity(self) -> Response:
        """Of the first model: a server of the harness has one."""
        manager = self._inference.manager
        try:
            with manager.use(next(iter(manager.model_names), "")) as loaded:
                return json_response(loaded.model.identity)
        except StatusError as error:
            raise Refused(503, error.message) from error


def _target(found: re.Match[str]) -> Target:
    version = int(found[2]) if found[2] else None
    return Target(model=unquote(found[1]), version=version, label=unquote(found[3] or ""))


def _malformed(method: str, path: str) -> Refused:
    if not path.lower().startswith("/v1/"):
        return Refused(404, "Not Found")
    return Refused(400, f"Malformed request: {method} {path[:200]}")


def _packed(content: bytes, headers: Headers) -> Response:
    """With gzip where the caller takes it and it pays."""
    if len(content) < _COMPRESS_FROM_BYTES or b"gzip" not in headers.get(b"accept-encoding", b""):
        return Response(200, (), content)
    return Response(200, _GZIP, compressed(content))
