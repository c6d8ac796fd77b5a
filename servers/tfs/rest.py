"""The REST API of TensorFlow Serving (https://www.tensorflow.org/tfx/serving/api_rest) as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from bench.core.serving import IDENTITY_PATH, STAMPS_HEADER

from . import rest_bodies
from .inference import Call, Inference, Target
from .metrics import Metrics
from .status import HTTP_STATUS, StatusError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

# As http_rest_api_util.cc has them.
_PREDICTION = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE
)
_MODEL = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE)
_BODIES = {"predict": rest_bodies.predict, "classify": rest_bodies.classify, "regress": rest_bodies.regress}
_JSON = ("content-type", "application/json")
_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type"),
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


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (_JSON,)


class RestApp:
    """Answers predictions in threads of its own, and everything else at once."""

    def __init__(self, inference: Inference, metrics: Metrics, settings: RestSettings) -> None:
        self._inference = inference
        self._metrics = metrics
        self._settings = settings
        self._limit = settings.max_waiting + 1 + _SPARE_CALLS
        self._under_way = 0
        self._threads = ThreadPoolExecutor(settings.threads or self._limit, thread_name_prefix="rest")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        if scope["method"] == "POST":
            answer = await self._post(path, headers, receive)
        else:
            answer = self._get(path) if scope["method"] == "GET" else _malformed(scope["method"], path)
        await self._send(answer, send)

    # ------------------------------------------------------------------------------------------------------ predictions

    async def _post(self, path: str, headers: Mapping[str, str], receive: Receive) -> _Answer:
        found = _PREDICTION.fullmatch(path)
        if found is None:
            return _malformed("POST", path)
        body = await self._body(receive)
        if body is None:
            return _error(413, f"the body is larger than {self._settings.max_body_bytes >> 20} MiB")
        call = Call(
            api=found[4].capitalize(), entrypoint="REST", received_ns=time.perf_counter_ns(), is_wanted=lambda: True
        )
        if self._under_way >= self._limit:
            return self._refuse(call)
        self._under_way += 1
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._answer, found[4].lower(), _target(found), body, headers, call
        )
        try:
            return await asyncio.wait_for(work, self._settings.timeout_s)
        except TimeoutError:
            call.is_wanted = lambda: False
            return _error(504, f"not answered within {self._settings.timeout_s:g} s")
        finally:
            self._under_way -= 1

    def _refuse(self, call: Call) -> _Answer:
        try:
            with self._inference.ended(call, is_counted=True):
                raise StatusError("RESOURCE_EXHAUSTED", f"{self._limit} requests are under way already")
        except StatusError as error:
            return _error(HTTP_STATUS[error.code], error.message)

    def _answer(self, verb: str, target: Target, body: bytes, headers: Mapping[str, str], call: Call) -> _Answer:
        """In a thread: the whole of a call."""
        call.dequeued_ns = time.perf_counter_ns()
        try:
            with self._inference.ended(call, is_counted=True):
                plain = rest_bodies.unpacked(body, headers, self._settings.max_body_bytes)
                content, encoding = rest_bodies.packed(_BODIES[verb](self._inference, target, plain, call), headers)
        except StatusError as error:
            return _error(HTTP_STATUS[error.code], error.message)
        return _Answer(200, content, (_JSON, *encoding, (STAMPS_HEADER, call.stamps())))

    async def _body(self, receive: Receive) -> bytes | None:
        """All of it; None when it is too large."""
        chunks, size = [], 0
        while True:
            message = await receive()
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._settings.max_body_bytes:
                return None
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    # -------------------------------------------------------------------------------------------------------- questions

    def _get(self, path: str) -> _Answer:
        if path == IDENTITY_PATH:
            return self._identity()
        if path == self._settings.metrics_path:
            return _Answer(200, self._metrics.page().encode(), (("content-type", "text/plain"),))
        found = _MODEL.fullmatch(path)
        if found is None:
            return _malformed("GET", path)
        if not found[1]:
            return _error(400, "Missing model name in request.")
        try:
            tell = rest_bodies.metadata if found[4] else rest_bodies.status
            return _Answer(200, tell(self._inference, _target(found)))
        except StatusError as error:
            return _error(HTTP_STATUS[error.code], error.message)

    def _identity(self) -> _Answer:
        """Of the first model: a server of the harness has one."""
        try:
            with self._inference.manager.use(next(iter(self._inference.manager.model_names), "")) as loaded:
                return _Answer(200, msgspec.json.encode(loaded.model.identity))
        except StatusError as error:
            return _error(503, error.message)

    async def _send(self, answer: _Answer, send: Send) -> None:
        headers = [*answer.headers, ("content-length", str(len(answer.body)))]
        if self._settings.allows_other_origins:
            headers += _CORS
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": answer.body})


def _target(found: re.Match[str]) -> Target:
    version = int(found[2]) if found[2] else None
    return Target(model=unquote(found[1]), version=version, label=unquote(found[3] or ""))


def _malformed(method: str, path: str) -> _Answer:
    if not path.lower().startswith("/v1/"):
        return _error(404, "Not Found")
    return _error(400, f"Malformed request: {method} {path}")


def _error(status: int, message: str) -> _Answer:
    return _Answer(status, json.dumps({"error": message}).encode())
