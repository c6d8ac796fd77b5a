"""The client's half of one HTTP/2 connection, without a socket: bytes in, bytes out (RFC 9113)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bench.core.serving import MAX_BODY_BYTES

from . import http2_frames as h2
from .http2_frames import Ending, Http2Error, PreparedRequest, Stream, frame, without_padding

_MAX_BLOCK_BYTES = 256 << 10
_MAX_ANSWER_BYTES = MAX_BODY_BYTES + 5  # gRPC's framing
STREAMS_BEFORE_SETTINGS = 100  # the least that a server should allow, RFC 9113, 6.5.2
_MOST_STREAMS = 1024  # on one connection, where a server allows any number
_REOPENED_AT = 1 << 29  # bytes received, after which the connection's window is opened again
_JOINED_BYTES = 32 << 10  # up to this, copying a body costs less than sending it as a piece of its own
_PREFIX_BYTES = 5


class Session:
    """One connection: `begin` or `cancel` streams, `feed` what arrives, and send what is in `output` after each.

    Our windows are as large as they may be: a load generator reads everything, so only the server holds it back.
    """

    def __init__(self, max_streams: int = STREAMS_BEFORE_SETTINGS) -> None:
        settings = ((h2.HEADER_TABLE_SIZE, 0), (h2.ENABLE_PUSH, 0), (h2.INITIAL_WINDOW, h2.MAX_WINDOW))
        self.output: list[bytes | memoryview] = [
            h2.PREFACE,
            frame(h2.SETTINGS, 0, 0, b"".join(h2.SETTING.pack(*setting) for setting in settings)),
            frame(h2.WINDOW_UPDATE, 0, 0, h2.NUMBER.pack(h2.MAX_WINDOW - h2.DEFAULT_WINDOW)),
        ]
        self.streams: dict[int, Stream] = {}
        self.max_streams = max_streams  # that may be open, until the server says how many it takes
        self.is_greeted = False  # the server has sent its settings
        self.is_leaving = False  # and takes no further streams
        self.unsolicited = 0
        self._next = 1
        self._cancelled: set[int] = set()
        self._sending: deque[Stream] = deque()  # their bodies wait for a window to open
        self._window = self._initial_window = h2.DEFAULT_WINDOW
        self._max_frame = h2.DEFAULT_MAX_FRAME
        self._received_bytes = 0
        self._rest = b""
        self._block: tuple[int, int, bytes] | None = None  # stream, flags and beginning of a block that goes on
        self._ended: list[Stream] = []
        self._handlers = (
            self._on_data, self._on_headers, self._on_priority, self._on_reset, self._on_settings, self._on_push,
            self._on_ping, self._on_goaway, self._on_window, self._on_continuation,
        )  # fmt: skip

    @property
    def has_room(self) -> bool:
        """Whether another stream may begin."""
        return len(self.streams) < self.max_streams and not self.is_leaving

    def begin(self, stream: Stream, request: PreparedRequest) -> None:
        """Open a stream; the part of its body that the windows have no room for follows as they open."""
        number = stream.number = self._next
        self._next += 2
        if self._next > h2.MAX_WINDOW:
            self.is_leaving = True
        self.streams[number] = stream
        stream.window = self._initial_window
        body, name = request.body, h2.NUMBER.pack(number)
        if len(body) <= min(self._window, stream.window, self._max_frame) and not self._sending:
            self._window -= len(body)
            head = b"".join((request.headers_start, name, request.block, request.data_start, name))
            self.output += [head + body] if len(body) <= _JOINED_BYTES else [head, body]
            return
        self.output.append(b"".join((request.headers_start, name, request.block)))
        stream.unsent = memoryview(body)
        self._sending.append(stream)
        self._send_bodies()

    def cancel(self, stream: Stream) -> None:
        """Give up a stream; what still arrives of it is passed over."""
        self._stop(stream, h2.CANCEL)
        self._cancelled.add(stream.number)

    @property
    def ended(self) -> Sequence[Stream]:
        """The streams that ended in what was read last, also where the protocol was broken after them."""
        return self._ended

    def feed(self, data: bytes) -> Sequence[Stream]:
        """Read on; the streams that ended. Http2Error when the server broke the protocol."""
        if self._rest:
            data = self._rest + data
        self._ended = []
        offset, size = 0, len(data)
        while size - offset >= h2.HEAD.size:
            high, low, kind, flags, number = h2.HEAD.unpack_from(data, offset)
            length = high << 8 | low
            if length > h2.DEFAULT_MAX_FRAME:
                raise Http2Error(f"a frame of {length} bytes")
            start = offset + h2.HEAD.size
            offset_after = start + length
            if offset_after > size:
                break
            offset = offset_after
            if self._block is not None and kind != h2.CONTINUATION:
                raise Http2Error(f"a frame of kind {kind} inside a block of header fields")
            if kind <= h2.CONTINUATION:
                self._handlers[kind](flags, number & h2.MAX_WINDOW, data[start:offset])
        self._rest = data[offset:]
        return self._ended

    # ---------------------------------------------------------------------------------------------- answers

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if flags & (h2.PADDED | h2.HAS_PRIORITY):
            payload = without_padding(flags, payload)
        if flags & h2.END_HEADERS:
            self._take_block(number, flags, payload)
        else:
            self._block = (number, flags, payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise Http2Error("a continuation of nothing")
        _, first_flags, block = self._block
        block += payload
        if len(block) > _MAX_BLOCK_BYTES:
            raise Http2Error(f"more than {_MAX_BLOCK_BYTES} bytes of header fields")
        self._block = (number, first_flags, block)
        if flags & h2.END_HEADERS:
            self._block = None
            self._take_block(number, first_flags, block)

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            stream.blocks.append(block)
        if flags & h2.END_STREAM:
            self._on_end(number, stream)

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        self._received_bytes += len(payload)  # padding counts
        if self._received_bytes >= _REOPENED_AT:
            self.output.append(frame(h2.WINDOW_UPDATE, 0, 0, h2.NUMBER.pack(self._received_bytes)))
            self._received_bytes = 0
        if flags & h2.PADDED:
            payload = without_padding(flags & h2.PADDED, payload)
        stream = self.streams.get(number)
        if stream is not None:
            stream.size += len(payload)
            if len(stream.prefix) < _PREFIX_BYTES:
                stream.prefix += payload[: _PREFIX_BYTES - len(stream.prefix)]
            if stream.keeps:
                stream.pieces.append(payload)
            if stream.size > _MAX_ANSWER_BYTES:
                self.cancel(stream)
                self._end(stream, Ending.TOO_LONG)
                return
        if flags & h2.END_STREAM:
            self._on_end(number, stream)

    def _on_end(self, number: int, stream: Stream | None) -> None:
        if stream is not None:
            if stream.unsent is None:
                del self.streams[number]
            else:  # answered before it was asked to the end: the rest is of no use
                self._stop(stream, h2.NO_ERROR)
            self._end(stream, Ending.ANSWERED)
        elif number in self._cancelled:
            self._cancelled.remove(number)
        elif number >= self._next or not number & 1:
            raise Http2Error(f"an answer on stream {number}, which was never opened")
        else:
            self.unsolicited += 1

    def _on_reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != h2.NUMBER.size or number == 0 or number >= self._next:
            raise Http2Error("a reset of nothing")
        self._cancelled.discard(number)
        stream = self.streams.pop(number, None)
        if stream is not None:
            stream.unsent = None
            (code,) = h2.NUMBER.unpack(payload)
            self._end(stream, Ending.REFUSED if code == h2.REFUSED_STREAM else Ending.RESET)

    def _end(self, stream: Stream, ending: Ending) -> None:
        stream.ending = ending
        self._ended.append(stream)

    # ------------------------------------------------------------------------------------------- connection

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) % h2.SETTING.size or (flags & h2.ACK and payload):
            raise Http2Error("settings that are none")
        if flags & h2.ACK:
            return
        if not self.is_greeted:
            self.is_greeted = True
            self.max_streams = _MOST_STREAMS
        for name, value in h2.SETTING.iter_unpack(payload):
            if name == h2.MAX_STREAMS:
                self.max_streams = min(value, _MOST_STREAMS)
            elif name == h2.MAX_FRAME:
                if not h2.DEFAULT_MAX_FRAME <= value <= h2.LARGEST_FRAME:
                    raise Http2Error(f"a largest frame of {value} bytes")
                self._max_frame = value
            elif name == h2.INITIAL_WINDOW:
                self._resize_windows(value)
        self.output.append(frame(h2.SETTINGS, h2.ACK, 0, b""))
        self._send_bodies()

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise Http2Error("a ping that is none")
        if not flags & h2.ACK:
            self.output.append(frame(h2.PING, h2.ACK, 0, payload))

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) < 2 * h2.NUMBER.size:
            raise Http2Error("a farewell that is none")
        self.is_leaving = True
        last = h2.NUMBER.unpack_from(payload)[0] & h2.MAX_WINDOW
        for stream in [stream for stream in self.streams.values() if stream.number > last]:
            del self.streams[stream.number]
            stream.unsent = None
            self._end(stream, Ending.REFUSED)

    def _on_push(self, flags: int, number: int, payload: bytes) -> None:
        raise Http2Error("a push, which was forbidden")

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        """Of no meaning to a client."""

    # --------------------------------------------------------------------------------------------- sending

    def _on_window(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != h2.NUMBER.size:
            raise Http2Error("an update of a window that is none")
        increment = h2.NUMBER.unpack(payload)[0] & h2.MAX_WINDOW
        stream = self.streams.get(number) if number else None
        if not number:
            self._window += increment
        elif stream is not None:
            stream.window += increment
        if not increment or max(self._window, stream.window if stream else 0) > h2.MAX_WINDOW:
            raise Http2Error(f"a window opened by {increment} bytes")
        self._send_bodies()

    def _resize_windows(self, size: int) -> None:
        """A new initial window counts for the streams that are open too, whose windows may so fall below zero."""
        if size > h2.MAX_WINDOW:
            raise Http2Error(f"windows of {size} bytes")
        for stream in self.streams.values():
            stream.window += size - self._initial_window
        self._initial_window = size

    def _send_bodies(self) -> None:
        """In the order in which they began, as far as the windows are open; one that must wait lets others pass."""
        passed = []
        while self._sending and self._window > 0:
            stream = self._sending[0]
            self._send_body(stream)
            if stream.unsent is not None:
                if self._window <= 0:
                    break
                passed.append(stream)
            self._sending.popleft()
        self._sending.extendleft(reversed(passed))

    def _send_body(self, stream: Stream) -> None:
        unsent = stream.unsent
        while unsent is not None:
            room = min(self._window, stream.window, self._max_frame)
            if room <= 0 and len(unsent):
                break
            piece, rest = unsent[:room], unsent[room:]
            self._window -= len(piece)
            stream.window -= len(piece)
            flags = 0 if len(rest) else h2.END_STREAM
            self.output += [h2.frame_start(h2.DATA, flags, len(piece)) + h2.NUMBER.pack(stream.number), piece]
            unsent = rest if len(rest) else None
        stream.unsent = unsent

    def _stop(self, stream: Stream, code: int) -> None:
        """Neither send nor expect more of it."""
        self.streams.pop(stream.number, None)
        stream.unsent = None
        self.output.append(frame(h2.RST_STREAM, 0, stream.number, h2.NUMBER.pack(code)))
