"""The parent's end of a child's result channel: JSON lines, never trusted, never waited for."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

LINE_MAX_BYTES = 64 << 20
_READ_BYTES = 256 << 10
_READS_AT_ONCE = 64  # a child that never stops talking must not keep the loop from its deadline
_SHOWN_BYTES = 80


class GarbageError(Exception):
    """The child sent what the protocol does not know; the text says what."""


class LineChannel:
    """Reads and writes whole lines without ever blocking; `closed` when the child has closed its end."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self.closed = False
        self._incoming = bytearray()
        self._searched_bytes = 0
        self._outgoing = bytearray()

    @property
    def wants_to_write(self) -> bool:
        """Whether part of a message still waits for room in the child's buffer."""
        return bool(self._outgoing)

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue one message and write what fits; NaN raises ValueError."""
        self._outgoing += json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what fits now."""
        try:
            while self._outgoing:
                del self._outgoing[: self.socket.send(self._outgoing)]
        except BlockingIOError:
            return
        except OSError:  # the child is gone or has hung up; how it ended is told elsewhere
            self._outgoing.clear()

    def hang_up(self) -> None:
        """Tell the child that no more questions will come."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # it was faster
            return

    def receive(self) -> list[dict[str, Any]]:
        """Complete messages that have arrived, 16 MiB at a time; GarbageError for anything that is none."""
        for _ in range(_READS_AT_ONCE):
            if self.closed:
                break
            try:
                data = self.socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.closed = not data
            self._incoming += data
            if len(self._incoming) > LINE_MAX_BYTES and b"\n" not in data:
                raise GarbageError(f"sent a line of more than {LINE_MAX_BYTES >> 20} MiB")
        return [_decoded(line) for line in self._whole_lines()]

    def _whole_lines(self) -> list[bytes]:
        end = self._incoming.rfind(b"\n", self._searched_bytes)
        if end < 0:
            self._searched_bytes = len(self._incoming)
            return []
        lines = bytes(self._incoming[:end]).split(b"\n")
        del self._incoming[: end + 1]
        self._searched_bytes = len(self._incoming)
        return lines


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(line)  # refuses NaN, Infinity and numbers too large for a float
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        shown = line[:_SHOWN_BYTES].decode(errors="backslashreplace")
        raise GarbageError(f"sent a line that is not JSON ({error}): {shown!r}") from None
    if not isinstance(message, dict):
        raise GarbageError(f"sent a {type(message).__name__} instead of an object")
    return message
