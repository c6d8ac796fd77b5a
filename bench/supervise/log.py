"""What a child prints: drained always, kept in part, and made safe before a person sees it."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD_MAX_BYTES = 1 << 20
_TAIL_MAX_BYTES = 256 << 10
_SHOWN_CHARS = 2000
# CSI, OSC (titles, links) and two-byte escape sequences, then every control character but newline and tab.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]", re.MULTILINE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class CappedLog:
    """A file with the first megabyte and the last 256 KiB of what was written, and how much is missing between."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by close()
        self._head_room_bytes = _HEAD_MAX_BYTES
        self._beyond_head_bytes = 0
        self._tail = bytearray()
        self._problem = ""

    def write(self, data: bytes) -> None:
        """Keep what there is room for; never raises, since a full disk must not end what is measured."""
        head = data[: self._head_room_bytes]
        self._head_room_bytes -= len(head)
        self._beyond_head_bytes += len(data) - len(head)
        self._to_file(head)
        self._tail += data
        del self._tail[:-_TAIL_MAX_BYTES]

    def close(self) -> str:
        """Finish the file; returns the last words as `readable` text."""
        kept = bytes(self._tail[-self._beyond_head_bytes :]) if self._beyond_head_bytes else b""
        if left_out := self._beyond_head_bytes - len(kept):
            self._to_file(f"\n[... {left_out} bytes left out ...]\n".encode())
        self._to_file(kept)
        self._file.close()
        words = self._problem + readable(bytes(self._tail))
        self._tail.clear()
        return words

    def _to_file(self, data: bytes) -> None:
        if not data or self._problem:
            return
        try:
            self._file.write(data)
        except OSError as error:
            self._problem = f"[the log file is incomplete: {error}]\n"


def readable(data: bytes) -> str:
    """The end of `data` as text: undecodable bytes replaced, escape sequences and control characters removed."""
    text = data[-8 * _SHOWN_CHARS :].decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text)).strip()[-_SHOWN_CHARS:]
