"""Unary gRPC calls over HTTP/2 without TLS, many at a time on each connection.

The client library costs two to three times the processor time of this, all of it within what its user would take for
the server's latency. Protocol: gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md).
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence

from bench.core.errors import TargetError
from bench.core.requests import DISCONNECTED, MALFORMED, OK_GRPC, OK_HTTP
from bench.core.serving import Endpoint
from bench.wire import Message

from .compression import compressed, decompressed
from .header_blocks import BlockReader, request_block
from .http2 import STREAMS_BEFORE_SETTINGS, Session
from .http2_frames import Ending, Http2Error, PreparedRequest, Stream
from .record import RawAnswer
from .sockets import Connection, SocketTransport

_PREFIX = struct.Struct(">BI")  # whether the message is compressed, and its length
_GREETING_S = 5.0


class _Channel(Connection):
    """A connection and what is open on it."""

    __slots__ = ("session",)

    def __init__(self, opened: socket.socket, session: Session) -> None:
        super().__init__(opened)
        self.session = session


class GrpcTransport(SocketTransport[_Channel]):
    """Spreads calls over `connections` connections, in turn; opens another where a server takes no more streams.

    A call that a leaving server has not begun to work on, by its own word, is sent once more; one that was reset, or
    whose connection broke, is DISCONNECTED.
    """

    def __init__(
        self, endpoint: Endpoint, payloads: Sequence[Message], *, connections: int, max_connections: int
    ) -> None:
        super().__init__(endpoint.host, endpoint.port, max_connections=max_connections)
        self._payloads = [prepared(endpoint, message) for message in payloads]
        self._tells_stamps = endpoint.tells_stamps
        self._reader = BlockReader()
        self._most_ahead = connections
        self._wanted = 1
        self._channels: deque[_Channel] = deque()
        self._sent_again: set[int] = set()

    def send(self, request: int, payload: int) -> bool:
        """False when the server takes no more streams, and no more connections may be opened."""
        channel = self._channel_with_room()
        if channel is None:
            if len(self._connections) >= self._max_connections:
                return False
            channel = self._connect_now()
            if channel is None:
                self._record.finish(request, DISCONNECTED, self.now_ns())
                return True
            self._channels.append(channel)
        stream = Stream(request, payload, keeps=self._record.wants(request))
        channel.session.begin(stream, self._payloads[payload])
        self._send_output(channel)
        return True

    def cancel(self, request: int) -> None:
        """Reset its stream; the connection is kept."""
        for channel in self._connections.values():
            for stream in channel.session.streams.values():
                if stream.request == request:
                    channel.session.cancel(stream)
                    self._send_output(channel)
                    return

    def opened(self, answer: RawAnswer) -> tuple[bytes, Mapping[str, str]]:
        """The message, decompressed and without its prefix, and all metadata of a kept answer."""
        fields: dict[str, str] = {}
        for block in answer.heads:
            fields |= {name: value for name, value in self._reader.fields(block) if not name.startswith(":")}
        body = b"".join(answer.pieces)
        message = body[_PREFIX.size :]
        return decompressed(message) if body[:1] == b"\x01" else message, fields

    # ---------------------------------------------------------------------------------------- connections

    def _connected(self, opened: socket.socket) -> _Channel:
        """It is used before its settings come, so those of its neighbours are taken for its own."""
        known = [other.session.max_streams for other in self._connections.values() if other.session.is_greeted]
        return _Channel(opened, Session(min(known, default=STREAMS_BEFORE_SETTINGS)))

    def _open_ahead(self, connections: int) -> None:
        """Wait for the server's settings too: they say how many streams it takes."""
        self._wanted = min(connections, self._most_ahead)
        self._sent_again.clear()
        while len(self._channels) < self._wanted:
            channel = self._connect_ahead()
            self._channels.append(channel)
            self._send_output(channel)
        deadline_ns = self.now_ns() + round(_GREETING_S * 1e9)
        while self._channels and not all(channel.session.is_greeted for channel in self._channels):
            if self.now_ns() > deadline_ns:
                break
            self.wait(min(deadline_ns, self.now_ns() + 1_000_000))
        if not self._channels or not self._channels[0].session.is_greeted:
            raise TargetError(
                f"{self._address[0]}:{self._address[1]} does not speak HTTP/2", hint="is this the gRPC port?"
            )

    def _channel_with_room(self) -> _Channel | None:
        """The next in turn; None when another is to be opened, for there are too few or none has room."""
        channels = self._channels
        if len(channels) >= self._wanted:
            for _ in range(len(channels)):
                channel = channels[0]
                channels.rotate(-1)
                if channel.session.has_room:
                    return channel
        return None

    def _send_output(self, channel: _Channel) -> None:
        output = channel.session.output
        if len(output) == 1:
            self._transmit(channel, output[0])
        elif output:
            self._transmit_all(channel, output)
        output.clear()

    def _drop(self, connection: _Channel) -> None:
        super()._drop(connection)
        if connection in self._channels:
            self._channels.remove(connection)

    # -------------------------------------------------------------------------------------------- answers

    def _received_some(self, connection: _Channel, data: bytes, now_ns: int) -> None:
        session = connection.session
        try:
            ended = session.feed(data)
        except Http2Error:
            self._drop(connection)
            for stream in session.ended:
                self._finish(stream, now_ns)
            self._lose(connection, MALFORMED, now_ns)
            return
        for stream in ended:
            self._finish(stream, now_ns)
        if session.output:
            self._send_output(connection)
        if session.unsolicited:
            self._unsolicited += session.unsolicited
            session.unsolicited = 0
        if session.is_leaving:
            self._part_from(connection)

    def _part_from(self, connection: _Channel) -> None:
        """Nothing new goes over it, and it is closed after its last answer."""
        if connection in self._channels:
            self._channels.remove(connection)
        if not connection.session.streams:
            self._drop(connection)

    def _ended(self, connection: _Channel, now_ns: int) -> None:
        self._lose(connection, DISCONNECTED, now_ns)

    def _lose(self, connection: _Channel, status: int, now_ns: int) -> None:
        for stream in connection.session.streams.values():
            self._record.finish(stream.request, status, now_ns)
        connection.session.streams.clear()

    def _finish(self, stream: Stream, now_ns: int) -> None:
        request = stream.request
        if stream.ending is Ending.ANSWERED:
            if stream.keeps:
                self._record.keep(request, stream.blocks, stream.pieces)
            self._record.finish(request, self._status(stream), now_ns, self._stamps(stream))
        elif stream.ending is Ending.TOO_LONG:
            self._record.finish(request, MALFORMED, now_ns)
        elif stream.ending is Ending.REFUSED and request not in self._sent_again:
            self._sent_again.add(request)
            if not self.send(request, stream.payload):
                self._record.finish(request, DISCONNECTED, now_ns)
        else:
            self._record.finish(request, DISCONNECTED, now_ns)

    def _status(self, stream: Stream) -> int:
        """1000 + grpc-status; HTTP's own where what answered was no gRPC server."""
        try:
            status = self._reader.grpc_status(stream.blocks[-1])
            if status is None:
                http = dict(self._reader.fields(stream.blocks[0])).get(":status", "")
                return int(http) if http.isdigit() and int(http) != OK_HTTP else MALFORMED
        except (ValueError, IndexError):
            return MALFORMED
        if status == 0:  # a unary answer is one message: no more, no less
            is_whole = len(stream.prefix) == _PREFIX.size
            if not is_whole or stream.size != _PREFIX.size + _PREFIX.unpack(stream.prefix)[1]:
                return MALFORMED
        return OK_GRPC + status

    def _stamps(self, stream: Stream) -> bytes:
        """Of the trailing metadata, or of the initial."""
        if self._tells_stamps:
            try:
                for block in reversed(stream.blocks):
                    if found := self._reader.stamps(block):
                        return found
            except ValueError:  # the status says what the answer was worth
                return b""
        return b""


def prepared(endpoint: Endpoint, message: Message) -> PreparedRequest:
    """A whole call; its message is compressed once, here, where the endpoint wants it so."""
    body = message.body
    fields = {"te": "trailers", "content-type": "application/grpc"} | dict(message.headers)
    is_compressed = endpoint.compression == "gzip"
    if is_compressed:
        body = compressed(body)
        fields |= {"grpc-encoding": "gzip", "grpc-accept-encoding": "identity,gzip"}
    block = request_block(f"{endpoint.host}:{endpoint.port}", message.path, fields.items())
    return PreparedRequest(block, _PREFIX.pack(is_compressed, len(body)) + body)
