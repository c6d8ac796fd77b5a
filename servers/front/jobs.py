"""What passes between a front and its workers: requests and answers of HTTP, each a small head and a body as it came.

A head is JSON, so nothing that arrives can be more than data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bench.core.serving import Identity

_HEAD_LENGTH = struct.Struct(">I")
_Head = TypeVar("_Head")

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, and values: octets as in latin-1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobHead:
    """All of a request but its body; times are ns of CLOCK_MONOTONIC.

    `number` is the front's own. After `deadline_ns` nobody waits for the answer any more, so whoever has the job then
    drops it.
    """

    number: int
    method: str
    path: str
    headers: Headers
    received_ns: int
    deadline_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyHead:
    """All of the answer to the job of that number but its body; `status` is HTTP's."""

    number: int
    status: int
    headers: Headers = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A request on its way to a worker."""

    head: JobHead
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer on its way to the front."""

    head: ReplyHead
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """How a worker says that it is there: its number within the topology, from 0, and who it is."""

    worker: int
    identity: Identity


def text_of(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of ASGI as they travel here."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def octets_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers that `text_of` was given."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def pack(head: object, body: bytes) -> bytes:
    """One message for a broker: four bytes with the length of the head, the head, the body."""
    written = msgspec.json.encode(head)
    return b"".join((_HEAD_LENGTH.pack(len(written)), written, body))


def unpack(message: bytes, kind: type[_Head]) -> tuple[_Head, bytes]:
    """Head and body of what `pack` made; ValueError when it is something else."""
    if len(message) < _HEAD_LENGTH.size:
        raise ValueError("a message without a head")
    (length,) = _HEAD_LENGTH.unpack_from(message)
    end = _HEAD_LENGTH.size + length
    try:
        return msgspec.json.decode(message[_HEAD_LENGTH.size : end], type=kind), message[end:]
    except msgspec.MsgspecError as error:
        raise ValueError(f"a message with a wrong head: {error}") from error
