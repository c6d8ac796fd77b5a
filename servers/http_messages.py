"""Requests and answers of an ASGI application: bodies that stay within bounds, and errors as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.wire.compression import TooLarge, decompressed
from bench.wire.encoding import WireError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Mapping[bytes, bytes]

JSON = (b"content-type", b"application/json")


class Refused(Exception):
    """A request that is answered with an error status; `text` is one line for the client."""

    def __init__(self, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class ClientGone(Exception):
    """The connection ended before the request did."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; the length is added when it is sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def json_response(document: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """`document` as JSON."""
    return Response(status, (JSON, *headers), msgspec.json.encode(document))


def refusal(error: Refused) -> Response:
    """{"error": text}, as TensorFlow Serving and KServe answer too."""
    return json_response({"error": error.text}, error.status, error.headers)


async def respond(send: Send, response: Response) -> None:
    """Send all of an answer."""
    body = response.body
    headers: Iterable[tuple[bytes, bytes]] = (*response.headers, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, headers: Headers, max_bytes: int) -> bytes:
    """The whole body, unpacked; Refused (400, 413, 415) as soon as it is clear that it cannot be taken."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_bytes:
        raise Refused(413, f"the body has {int(length)} bytes, at most {max_bytes} are taken")
    body = await _received(receive, max_bytes)
    coding = headers.get(b"content-encoding")
    if coding is None or coding == b"identity":
        return body
    if coding != b"gzip":
        raise Refused(415, "the body's content-encoding is not known; gzip is", (b"accept-encoding", b"gzip"))
    try:
        return decompressed(body, max_bytes)
    except TooLarge as error:
        raise Refused(413, str(error)) from error
    except WireError as error:
        raise Refused(400, str(error)) from error


async def _received(receive: Receive, max_bytes: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"] and len(message["body"]) <= max_bytes:
        body: bytes = message["body"]
        return body
    pieces: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        pieces.append(message["body"])
        size += len(message["body"])
        if size > max_bytes:
            raise Refused(413, f"the body has more than {max_bytes} bytes")
        if not message["more_body"]:
            return b"".join(pieces)
        message = await receive()
    raise ClientGone
