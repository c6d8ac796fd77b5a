"""What uvicorn lacks against clients that are slow, greedy or many: deadlines, bounds, and a cap on connections.

A request's head must be whole within the header time-out of its first byte, its body within the idle time-out after
that. A body that is refused unread is drained for two seconds, so that its sender gets to read why. A body reaches the
application in one piece, or as soon as it is too long: waking the application for every 64 KiB and copying each piece
three times takes longer than decoding an image.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bench.core.serving import LOOPBACK, MAX_BODY_BYTES

from .app import RECEIVED_NS

if TYPE_CHECKING:
    from .http_messages import Asgi

GRACE_S = 1  # for requests under way when the server ends
_MAX_HEAD_BYTES = 1 << 16
_DRAIN_S = 2.0
_TICK_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """Bounds of each connection, and of their number."""

    max_connections: int
    header_timeout_s: float
    idle_timeout_s: float
    max_body_bytes: int = MAX_BODY_BYTES


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within `guard`; `guarded` makes the class that a server is given."""

    guard: ClassVar[Guard]
    _timer: asyncio.TimerHandle | None = None
    _deadline_s = math.inf  # on the loop's clock
    _is_receiving = False  # part of a request is there
    _head_bytes = 0  # received of a head that is not whole; -1 once it is
    _pieces: list[bytes]  # of a body that is not whole
    _body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Turn a connection away when there are too many; give it time for its first head otherwise."""
        super().connection_made(transport)
        if len(self.connections) > self.guard.max_connections:
            self._turn_away(503, "too many connections")
            return
        self._deadline_s = self.loop.time() + self.guard.header_timeout_s
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and turn away a head that does not end."""
        super().data_received(data)
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
                self._turn_away(431, f"the head of the request has more than {_MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._is_receiving = True
        self._head_bytes = 0
        self._pieces = []
        self._body_bytes = 0
        self._deadline_s = self.loop.time() + self.guard.header_timeout_s

    def on_headers_complete(self) -> None:
        """The body comes, where there is one."""
        self._head_bytes = -1
        self._deadline_s = self.loop.time() + self.guard.idle_timeout_s
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a piece; of a body that is too long, one byte too many is all that the application needs to see."""
        if self._body_bytes > self.guard.max_body_bytes or self.cycle.response_complete:
            return
        self._pieces.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self.guard.max_body_bytes:
            self._hand_over()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._hand_over()
        self._is_receiving = False
        self._deadline_s = math.inf
        self.scope[RECEIVED_NS] = time.perf_counter_ns()  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """What is left of the request's body is read for a moment, and thrown away."""
        super().on_response_complete()
        if self._is_receiving:
            self._deadline_s = self.loop.time() + _DRAIN_S

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP."""
        self._turn_away(400, msg)

    def _hand_over(self) -> None:
        """Let the application receive what has come; a single piece is not copied."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            self.cycle.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # type: ignore[assignment]

    def _watch(self) -> None:
        """One timer for each connection, not for each request: it looks at the deadline that is valid now."""
        if self.transport.is_closing():
            return
        if self.loop.time() < self._deadline_s:
            self._timer = self.loop.call_later(min(_TICK_S, self.guard.header_timeout_s / 4), self._watch)
        elif self._is_answered():
            self.transport.abort()
        elif self._head_bytes == 0 and not self._is_receiving:
            self.transport.close()  # an answer to nobody's request would be taken for the next one's
        else:
            self._turn_away(408, "the request did not arrive in time")

    def _is_answered(self) -> bool:
        return bool(getattr(self.cycle, "response_started", False))  # there is none before the first request

    def _turn_away(self, status: int, text: str) -> None:
        """Answer without the application, and close."""
        body = msgspec.json.encode({"error": text})
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join((STATUS_LINE[status], head, body)))
        self.transport.close()


def guarded(bounds: Guard) -> type[GuardedProtocol]:
    """The protocol class that keeps to `bounds`: a server makes an instance for each connection by itself."""

    class Guarded(GuardedProtocol):
        guard = bounds

    return Guarded


def within(bounds: Guard, application: Asgi, *, host: str = LOOPBACK, port: int = 0) -> uvicorn.Config:
    """How uvicorn serves an application within `bounds`: no log, no headers of its own, no time for what hangs."""
    return uvicorn.Config(
        application,
        host=host,
        port=port,
        loop="uvloop",
        http=guarded(bounds),
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=round(bounds.idle_timeout_s),
        timeout_graceful_shutdown=GRACE_S,
    )
