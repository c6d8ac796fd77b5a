"""The journal of a run: one line per record, appended in one write, checked by CRC, never rewritten.

A line is the CRC-32 of its JSON as 8 hex digits, a space, `{"seq":N,"record":{...}}` and a newline. `seq` counts up
by one from 1, so a line that vanished is noticed although every line that is left is whole.
"""

from __future__ import annotations

import errno
import gc
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from bench.core.errors import StoreError
from bench.core.files import fsync_directory
from bench.core.record import Record

from .codec import MAX_LINE_BYTES, Migrations, NewerSchema, bounds_problem, decode, decode_plain, encode

#: Version 1 is the first; its files are kept in tests/data/records/v1.
MIGRATIONS: Migrations = {}

_CRC_CHARS = 8
_SKIP_BYTES = 1 << 16
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A part of a journal that cannot be used; `line` counts from 1."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    seq: int
    record: msgspec.Raw


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    number: int
    offset: int
    content: bytes  # without the newline; cut where the line is longer than any line that is ever written
    ended: bool


class Journal:
    """The writing end of a journal; one process at a time may hold it (see `bench.records.lock`).

    Opening cuts a torn last line off: it was never acknowledged. `damages` says what was found, that line included.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            existed = path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self.damages, self._safe, self._seq = self._recover()
                if not existed:
                    fsync_directory(path.parent)
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened for writing: {error.strerror}") from error
        self._broken = False
        self._closed = False

    def append(self, record: Record) -> None:
        """Write one record and return when it is on the disk.

        After a StoreError that came from the disk the journal stays closed to writing: whether the bytes of a failed
        write or fsync are there cannot be known, and a second fsync would say yes without having tried.
        """
        if self._broken or self._closed:
            raise StoreError(f"{self.path}: an earlier write failed or the journal is closed; {self._cells_safe()}")
        line = _line(self._seq + 1, record, place=f"record of {record.cell_id}")
        self._broken = True  # until all of it is known to be on the disk
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes written")
            os.fsync(self._descriptor)
        except OSError as error:
            cause = "disk full" if error.errno in _FULL else "the disk failed"
            raise StoreError(
                f"{self.path}: {cause} ({error.strerror}), {self._cells_safe()}",
                hint="make room or repair the disk, then run the same command again: it measures only what is missing",
            ) from error
        self._broken = False
        self._seq += 1
        self._safe += 1

    def close(self) -> None:
        """Close the file; twice is harmless."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cells_safe(self) -> str:
        return f"{self._safe} {'cell' if self._safe == 1 else 'cells'} safe"

    def _recover(self) -> tuple[tuple[Damage, ...], int, int]:
        reader = _Reader(self.path)
        safe = sum(1 for _ in reader.records())
        tail = reader.unended
        if tail is not None:
            if reader.unended_is_whole:
                os.write(self._descriptor, b"\n")
            else:
                os.ftruncate(self._descriptor, tail.offset)
            os.fsync(self._descriptor)
        return tuple(reader.damages), safe, reader.last_seq


def read(path: Path) -> tuple[tuple[Record, ...], tuple[Damage, ...]]:
    """All usable records in file order, and what is damaged; never waits for a writer.

    Raises StoreError when the file is missing or was written by a newer version.
    """
    reader = _Reader(path)
    with _without_garbage_collection():
        records = tuple(reader.records())
    return records, tuple(reader.damages)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """All that is made meanwhile is kept: looking through it again and again takes twice as long as reading it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Reader:
    """One pass over a journal, with what the pass found out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damages: list[Damage] = []
        self.last_seq = 0
        self.unended: _Line | None = None
        self.unended_is_whole = False

    def records(self) -> Iterator[Record]:
        """Yield the usable records; the other attributes are complete when it ends."""
        dropped = 0
        try:
            with open(self.path, "rb") as stream:
                for line in _lines(stream):
                    row = self._row(line)
                    if not line.ended:
                        self.unended, self.unended_is_whole = line, isinstance(row, _Row)
                    if isinstance(row, str):
                        self._report(line, row)
                        dropped += 1
                        continue
                    self._check_sequence(row.seq, line, dropped)
                    dropped = 0
                    record = self._record(row, line)
                    if isinstance(record, str):
                        self._report(line, record)
                    else:
                        yield record
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _row(self, line: _Line) -> _Row | str:
        body = line.content[_CRC_CHARS + 1 :]
        # Compared as text: int() would also accept upper-case digits, and a flipped bit would go unnoticed.
        if line.content[: _CRC_CHARS + 1] != _checksum(body) + b" ":
            if len(line.content) > MAX_LINE_BYTES:
                return f"longer than {MAX_LINE_BYTES} bytes, dropped"
            return "checksum does not match, dropped" if line.ended else "torn: the last line has no end, dropped"
        try:
            return decode_plain(body, _Row, place="line", max_bytes=MAX_LINE_BYTES)
        except StoreError as error:
            return f"{error.message.removeprefix('line: ')}, dropped"

    def _record(self, row: _Row, line: _Line) -> Record | str:
        place = f"{self.path}:{line.number}"
        try:
            return decode(row.record, Record, place=place, migrations=MIGRATIONS, max_bytes=MAX_LINE_BYTES)
        except NewerSchema:  # dropping such lines would hide results
            raise
        except StoreError as error:
            return f"{error.message.removeprefix(f'{place}: ')}, dropped"

    def _report(self, line: _Line, reason: str) -> None:
        self.damages.append(Damage(path=str(self.path), line=line.number, reason=reason))

    def _check_sequence(self, seq: int, line: _Line, dropped: int) -> None:
        missing = seq - self.last_seq - 1 - dropped
        if missing > 0:
            self._report(
                line, f"{missing} lines are missing before this one (seq {self.last_seq} is followed by {seq})"
            )
        if seq <= self.last_seq:
            self._report(
                line, f"out of order (seq {self.last_seq} is followed by {seq}): mixed by hand, or two writers"
            )
        self.last_seq = max(seq, self.last_seq)


def _line(seq: int, record: Record, *, place: str) -> bytes:
    body = b'{"seq":%d,"record":%s}' % (seq, encode(record, place=place))
    problem = bounds_problem(body, max_bytes=MAX_LINE_BYTES - _CRC_CHARS - 1)
    if problem:
        raise StoreError(f"{place}: {problem}")
    return b"%s %s\n" % (_checksum(body), body)


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def _lines(stream: BinaryIO) -> Iterator[_Line]:
    offset = number = 0
    while content := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        start = offset
        offset += len(content)
        ended = content.endswith(b"\n")
        while not ended and (rest := stream.readline(_SKIP_BYTES)):
            offset += len(rest)
            ended = rest.endswith(b"\n")
        yield _Line(number=number, offset=start, content=content.removesuffix(b"\n"), ended=ended)
