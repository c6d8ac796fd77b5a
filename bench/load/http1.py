"""HTTP/1.1 with one request at a time on each connection, as most clients speak it; nothing is sent twice."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Mapping, Sequence

from bench.core.requests import DISCONNECTED, MALFORMED
from bench.core.serving import Endpoint
from bench.wire import Message

from .compression import compressed, decompressed
from .http_answer import AnswerReader, MalformedAnswerError, fields_of
from .record import RawAnswer
from .sockets import Connection, SocketTransport

_IDLE = -1


class _Exchange(Connection):
    """A connection and the request that it carries, `_IDLE` for none."""

    __slots__ = ("answer", "request")

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        self.request = _IDLE
        self.answer = AnswerReader()


class Http1Transport(SocketTransport[_Exchange]):
    """Sends prebuilt requests over at most `max_connections` connections, the one that has rested longest first.

    A request whose connection breaks is DISCONNECTED: nobody knows whether the server has worked on it. What answers no
    request is counted as unsolicited and its connection closed, because every later answer on it would be in doubt.
    """

    def __init__(self, endpoint: Endpoint, payloads: Sequence[Message], *, max_connections: int) -> None:
        super().__init__(endpoint.host, endpoint.port, max_connections=max_connections)
        self._payloads = [request_bytes(endpoint, message) for message in payloads]
        self._keep_alive = endpoint.keep_alive
        self._idle: deque[_Exchange] = deque()

    def send(self, request: int, payload: int) -> bool:
        """False when every connection carries a request and no other may be opened."""
        if self._idle:
            connection = self._idle.popleft()
        elif len(self._connections) >= self._max_connections:
            return False
        else:
            opened = self._connect_now()
            if opened is None:
                self._record.finish(request, DISCONNECTED, self.now_ns())
                return True
            connection = opened
        connection.request = request
        connection.answer.begin(keeps_body=self._record.wants(request))
        self._transmit(connection, self._payloads[payload])
        return True

    def cancel(self, request: int) -> None:
        """Close its connection: the answer may still come, and would be taken for another's."""
        for connection in list(self._connections.values()):
            if connection.request == request:
                self._drop(connection)

    def opened(self, answer: RawAnswer) -> tuple[bytes, Mapping[str, str]]:
        """Body, decompressed, and headers of a kept answer."""
        fields = fields_of(answer.heads[0])
        body = b"".join(answer.pieces)
        return decompressed(body) if fields.get("content-encoding") == "gzip" else body, fields

    def _connected(self, opened: socket.socket) -> _Exchange:
        return _Exchange(opened)

    def _open_ahead(self, connections: int) -> None:
        while self._keep_alive and len(self._connections) < connections:
            self._idle.append(self._connect_ahead())

    def _drop(self, connection: _Exchange) -> None:
        super()._drop(connection)
        if connection.request == _IDLE:
            with contextlib.suppress(ValueError):  # taken out of the pool for the request that just ended
                self._idle.remove(connection)

    def _received_some(self, connection: _Exchange, data: bytes, now_ns: int) -> None:
        answer = connection.answer
        if connection.request == _IDLE:
            self._unsolicited += 1
            self._drop(connection)
            return
        try:
            is_whole = answer.feed(data)
        except MalformedAnswerError:
            self._record.finish(connection.request, MALFORMED, now_ns)
            self._drop(connection)
            return
        if not is_whole:
            return
        self._finish(connection, now_ns)
        if answer.excess:
            self._unsolicited += 1
        if answer.is_reusable and self._keep_alive and not answer.excess and not connection.unsent:
            connection.request = _IDLE
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _ended(self, connection: _Exchange, now_ns: int) -> None:
        if connection.request == _IDLE:
            return
        if connection.answer.end():
            self._finish(connection, now_ns)
        else:
            self._record.finish(connection.request, DISCONNECTED, now_ns)

    def _finish(self, connection: _Exchange, now_ns: int) -> None:
        answer = connection.answer
        if answer.keeps_body:
            self._record.keep(connection.request, (answer.head,), answer.pieces)
        self._record.finish(connection.request, answer.status, now_ns, answer.stamps)


def request_bytes(endpoint: Endpoint, message: Message) -> bytes:
    """A whole POST of `message`; its body is compressed once, here, where the endpoint wants it so."""
    body = message.body
    fields = {"host": f"{endpoint.host}:{endpoint.port}"} | dict(message.headers)
    if endpoint.compression == "gzip":
        body = compressed(body)
        fields |= {"content-encoding": "gzip", "accept-encoding": "gzip"}
    if not endpoint.keep_alive:
        fields["connection"] = "close"
    fields["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {message.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
