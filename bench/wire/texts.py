"""Arrays of texts as bytes: each after its length, 4 bytes little-endian, as the Open Inference Protocol has it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from .encoding import WireError

if TYPE_CHECKING:
    from bench.core.contracts import Array

_LENGTH = struct.Struct("<I")


def pack_texts(array: Array) -> bytes:
    """All elements in C order; what is bytes already is taken as it is."""
    pieces: list[bytes] = []
    for element in array.ravel().tolist():
        content = element.encode() if isinstance(element, str) else element
        if not isinstance(content, bytes):
            raise WireError(f"a {type(element).__name__} among the texts")
        pieces += (_LENGTH.pack(len(content)), content)
    return b"".join(pieces)


def unpack_texts(content: bytes | memoryview, offset: int, count: int) -> tuple[Array, int]:
    """`count` texts that begin at `offset`, as objects in one axis, and where they end."""
    if count * _LENGTH.size > len(content) - offset:
        raise WireError(f"{count} texts cannot be in {max(len(content) - offset, 0)} bytes")
    texts = np.empty(count, dtype=object)
    for position in range(count):
        start = offset + _LENGTH.size
        if start > len(content):
            raise WireError("a text is cut short")
        offset = start + _LENGTH.unpack_from(content, offset)[0]
        if offset > len(content):
            raise WireError("a text is cut short")
        texts[position] = as_text(bytes(content[start:offset]))
    return texts, offset


def as_text(content: str | bytes) -> str:
    """The text itself, or what UTF-8 bytes say."""
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a text is not UTF-8: {error.reason}") from error
