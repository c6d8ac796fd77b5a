"""One HTTP/1.1 answer after the other out of the bytes of a connection, wherever they are cut (RFC 9112)."""

from __future__ import annotations

from bench.core.serving import MAX_BODY_BYTES, STAMPS_HEADER

_MAX_HEAD_BYTES = 64 << 10
_MAX_LINE_BYTES = 4 << 10  # a chunk's size with its extensions, or a trailer
_STAMPS = b"\r\n" + STAMPS_HEADER.encode() + b":"

# What the next bytes are.
_HEAD, _BODY, _TO_THE_END, _CHUNK_SIZE, _CHUNK, _CHUNK_END, _TRAILERS, _WHOLE = range(8)


class MalformedAnswerError(Exception):
    """What came is not HTTP/1.1, or more of it than anybody should take."""


class AnswerReader:
    """Reads the answers of one connection: `begin`, then `feed` until it says that the answer is whole.

    `status`, `head` (status line and fields, each with its line end) and `stamps` are known once the head is there;
    `pieces` make the body, where it is kept. `is_reusable`: the connection may carry another request. `excess`: bytes
    have come that belong to no answer.
    """

    __slots__ = (
        "_buffer", "_left", "_next", "_size", "excess", "head", "is_reusable", "keeps_body", "pieces", "stamps",
        "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self.begin(keeps_body=False)

    def begin(self, *, keeps_body: bool) -> None:
        """Expect the answer to another request."""
        self.status = 0
        self.head = self.stamps = self._buffer = b""
        self.pieces: list[bytes] = []
        self.is_reusable, self.excess = True, False
        self.keeps_body = keeps_body
        self._next = _HEAD
        self._left = self._size = 0

    def feed(self, data: bytes) -> bool:
        """Read on; True when the answer is whole. MalformedAnswerError when there is none in it."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while self._next != _WHOLE:
            if not data:
                return False
            rest = self._read_head(data) if self._next == _HEAD else self._read_body(data)
            if rest is None:
                self._buffer = data
                return False
            data = rest
        if data:
            self.excess = True
        return True

    def end(self) -> bool:
        """The connection has ended; True when that ends the answer too, as it may without a length."""
        return self._next == _TO_THE_END

    def _read_head(self, data: bytes) -> bytes | None:
        """The bytes after the head; None when it is not whole yet."""
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > _MAX_HEAD_BYTES:
            if len(data) > _MAX_HEAD_BYTES:
                raise MalformedAnswerError(f"a head of more than {_MAX_HEAD_BYTES} bytes")
            return None
        self.head = head = data[: end + 2]
        if head[:7] != b"HTTP/1." or head[8:9] != b" " or not head[9:12].isdigit():
            raise MalformedAnswerError(f"no status line: {head[:32]!r}")
        self.status = status = int(head[9:12])
        if status < 200:  # 100 Continue and its like announce; 101 speaks another language from here on
            if status == 101:
                raise MalformedAnswerError("switches to another protocol")
            return data[end + 4 :]
        self._choose_framing(status, head.lower())
        return data[end + 4 :]

    def _choose_framing(self, status: int, fields: bytes) -> None:
        """Where the body ends: RFC 9112, section 6.3. `fields` are in lower case."""
        if _STAMPS in fields:
            self.stamps = _field(fields, _STAMPS)
        self.is_reusable = _stays_open(fields)
        length = _content_length(fields)
        if status in {204, 304}:
            self._next = _WHOLE
        elif b"\r\ntransfer-encoding:" in fields:
            if not _field(fields, b"\r\ntransfer-encoding:").endswith(b"chunked"):
                raise MalformedAnswerError("a transfer encoding that is not chunked at its end")
            self._next = _CHUNK_SIZE
            if length is not None:  # RFC 9112, 6.1: whoever sends both may mean a second answer by the rest
                self.is_reusable = False
        elif length is not None:
            self._left = length
            self._next = _BODY if length else _WHOLE
        else:
            self._next = _TO_THE_END
            self.is_reusable = False

    def _read_body(self, data: bytes) -> bytes | None:
        """The bytes after one piece of the body; None when the piece is a line that is not whole yet."""
        if self._next == _BODY:
            rest = self._take(data)
            if not self._left:
                self._next = _WHOLE
            return rest
        if self._next == _TO_THE_END:
            self._left = len(data)
            return self._take(data)
        return self._read_chunk(data)

    def _read_chunk(self, data: bytes) -> bytes | None:
        """RFC 9112, section 7.1: size in hexadecimal, that many bytes, a line end; 0 ends it, after trailers."""
        if self._next == _CHUNK:
            rest = self._take(data)
            if not self._left:
                self._next = _CHUNK_END
            return rest
        end = data.find(b"\r\n")
        if end < 0:
            if len(data) > _MAX_LINE_BYTES:
                raise MalformedAnswerError(f"a line of more than {_MAX_LINE_BYTES} bytes between chunks")
            return None
        if self._next == _CHUNK_SIZE:
            self._left = _hexadecimal(data[:end])
            self._next = _CHUNK if self._left else _TRAILERS
        elif self._next == _CHUNK_END:
            if end:
                raise MalformedAnswerError("a chunk is longer than its size")
            self._next = _CHUNK_SIZE
        elif not end:
            self._next = _WHOLE
        return data[end + 2 :]

    def _take(self, data: bytes) -> bytes:
        """Use up what is left of the current piece; the bytes after it."""
        taken = data if len(data) <= self._left else data[: self._left]
        self._left -= len(taken)
        self._size += len(taken)
        if self._size > MAX_BODY_BYTES:
            raise MalformedAnswerError(f"a body of more than {MAX_BODY_BYTES} bytes")
        if self.keeps_body:
            self.pieces.append(taken)
        return data[len(taken) :]


def fields_of(head: bytes) -> dict[str, str]:
    """Name in lower case -> value of the fields of a head; of equal names the values with commas between them."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.lower(), value.strip()
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _field(fields: bytes, name: bytes) -> bytes:
    """Value of a field that is there; `name` begins with the line end before it."""
    start = fields.index(name) + len(name)
    return fields[start : fields.index(b"\r\n", start)].strip()


def _stays_open(fields: bytes) -> bool:
    if fields.startswith(b"http/1.0"):
        return b"\r\nconnection:" in fields and _field(fields, b"\r\nconnection:") == b"keep-alive"
    return b"\r\nconnection:" not in fields or b"close" not in _field(fields, b"\r\nconnection:")


def _content_length(fields: bytes) -> int | None:
    """None where there is none."""
    name = b"\r\ncontent-length:"
    if name not in fields:
        return None
    value = _field(fields, name)
    if not value.isdigit() or fields.count(name) > 1 or len(value) > len(str(MAX_BODY_BYTES)):
        raise MalformedAnswerError(f"a content-length of {value[:32]!r}")
    length = int(value)
    if length > MAX_BODY_BYTES:
        raise MalformedAnswerError(f"a body of {length} bytes")
    return length


def _hexadecimal(line: bytes) -> int:
    """The size of a chunk, whatever extensions follow it."""
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF") or len(digits.lstrip(b"0")) > 8:
        raise MalformedAnswerError(f"a chunk's size of {line[:32]!r}")
    return int(digits, 16)
