"""A gRPC server of the h2 library, with or without a socket, that answers as a test says."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.settings import SettingCodes, Settings

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0")]


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


@dataclass
class Call:
    """What came on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    @property
    def message(self) -> bytes:
        assert len(self.body) == 5 + int.from_bytes(self.body[1:5], "big")
        return bytes(self.body[5:])


Answer = Callable[["Server", int, Call], None]


class Server:
    """The server's half of one connection; `answer` is called with each whole call."""

    def __init__(self, answer: Answer, **settings: int) -> None:
        self.http2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        values = {SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.http2.local_settings = Settings(client=False, initial_values=values)
        self.http2.max_inbound_frame_size = self.http2.local_settings.max_frame_size
        self.http2.initiate_connection()
        self.calls: dict[int, Call] = {}
        self.resets: list[int] = []
        self.raw = b""  # said beside what the library says
        self.most_open = 0
        self._answer = answer
        self._unsent: dict[int, tuple[bytes, list[tuple[str, str]]]] = {}

    def feed(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            self._handle(event)
        self.pump()

    def output(self) -> bytes:
        sent: bytes = self.http2.data_to_send() + self.raw
        self.raw = b""
        return sent

    def reply(self, stream: int, message: bytes | None, trailers: Any = TRAILERS, **words: Any) -> None:
        """Initial metadata, one message, trailing metadata; the message as the client's windows open."""
        self.http2.send_headers(stream, HEADERS)
        self._unsent[stream] = (b"" if message is None else framed(message, **words), trailers)
        self.pump()

    def pump(self) -> None:
        for stream, (body, trailers) in list(self._unsent.items()):
            sent = 0
            while room := min(len(body) - sent, self.http2.local_flow_control_window(stream), 16384):
                self.http2.send_data(stream, body[sent : sent + room])
                sent += room
            self._unsent[stream] = (body[sent:], trailers)
            if sent == len(body):
                del self._unsent[stream]
                self.http2.send_headers(stream, trailers, end_stream=True)

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.calls[event.stream_id] = Call(headers=dict(event.headers))
            self.most_open = max(self.most_open, self.http2.open_inbound_streams)
        elif isinstance(event, DataReceived):
            self.calls[event.stream_id].body += event.data
            if event.flow_controlled_length:
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self._answer(self, event.stream_id, self.calls[event.stream_id])
        elif isinstance(event, StreamReset):
            self.resets.append(event.stream_id)
        else:
            assert not isinstance(event, WindowUpdated) or event.delta


def handler(answer: Answer, **settings: int) -> Callable[[socket.socket, int], None]:
    """For `tests.load.scripted.serving`: one `Server` for each connection."""

    def handle(connection: socket.socket, number: int) -> None:
        server = Server(answer, **settings)
        connection.sendall(server.output())
        while data := connection.recv(65536):
            server.feed(data)
            if output := server.output():
                connection.sendall(output)

    return handle
