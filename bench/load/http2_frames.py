"""The frames of HTTP/2 and what a load has to remember of a stream (RFC 9113)."""

from __future__ import annotations

import struct
from enum import Enum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Kinds of frames; a reader passes over all further ones.
(
    DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION,
) = range(10)  # fmt: skip
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = range(1, 6)
NO_ERROR, REFUSED_STREAM, CANCEL = 0, 7, 8

MAX_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW, DEFAULT_MAX_FRAME, LARGEST_FRAME = 65_535, 16_384, (1 << 24) - 1
HEAD = struct.Struct(">HBBBI")  # the upper 16 and the lower 8 bits of the length, kind, flags, stream
NUMBER = struct.Struct(">I")
SETTING = struct.Struct(">HI")


class Http2Error(Exception):
    """The server broke the protocol; nothing on the connection can be trusted any more."""


class Ending(Enum):
    """How a stream ended. REFUSED: the server says that it has not begun to work on it."""

    ANSWERED = 1
    RESET = 2
    REFUSED = 3
    TOO_LONG = 4


class Stream:
    """One request and what has come of its answer: `blocks` of header fields, `pieces` of the body where it `keeps` it.

    `prefix` is the first five bytes of the body, `size` how many there were.
    """

    __slots__ = (
        "blocks", "ending", "keeps", "number", "payload", "pieces", "prefix", "request", "size", "unsent", "window",
    )  # fmt: skip

    def __init__(self, request: int, payload: int, *, keeps: bool) -> None:
        self.request = request
        self.payload = payload
        self.keeps = keeps
        self.number = self.window = self.size = 0
        self.ending: Ending | None = None
        self.blocks: list[bytes] = []
        self.pieces: list[bytes] = []
        self.prefix = b""
        self.unsent: memoryview | None = None


class PreparedRequest:
    """The frames of a request but for the stream's number: a block of header fields, and the body."""

    __slots__ = ("block", "body", "data_start", "headers_start")

    def __init__(self, block: bytes, body: bytes) -> None:
        self.block = block
        self.body = body
        self.headers_start = frame_start(HEADERS, END_HEADERS, len(block))
        self.data_start = frame_start(DATA, END_STREAM, min(len(body), LARGEST_FRAME))


def frame_start(kind: int, flags: int, length: int) -> bytes:
    """A frame's head up to the stream's number."""
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, 0)[:5]


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """A whole frame."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, number) + payload


def without_padding(flags: int, payload: bytes) -> bytes:
    """What a DATA or HEADERS frame carries beside padding and priority."""
    start, end = 0, len(payload)
    if flags & PADDED:
        start = 1
        end -= payload[0] if payload else 1
    if flags & HAS_PRIORITY:
        start += 5
    if end < start:
        raise Http2Error("more padding than frame")
    return payload[start:end]
