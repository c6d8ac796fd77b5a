"""HTTP/2 header blocks without a dynamic table (RFC 7541): we never use one and forbid the server to.

A block then means the same whenever it is read, so equal blocks are read once, and what a load needs of the others can
mostly be found without decoding them.
"""

from __future__ import annotations

from collections.abc import Iterable

from bench.core.serving import STAMPS_HEADER

_STATUS_NAME = b"\x0bgrpc-status"  # a literal name, its length before it and not in Huffman's code
_STAMPS_NAME = bytes([len(STAMPS_HEADER)]) + STAMPS_HEADER.encode()
_MOST_REMEMBERED = 256
#: RFC 7541, appendix A.
_POST, _SCHEME_HTTP, _PATH_NAME, _AUTHORITY_NAME = b"\x83", b"\x86", b"\x04", b"\x01"

Fields = tuple[tuple[str, str], ...]


def request_block(authority: str, path: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The block of a POST over plain text, every field a literal that goes into no table."""
    pseudo = _POST + _SCHEME_HTTP + _PATH_NAME + _text(path) + _AUTHORITY_NAME + _text(authority)
    return pseudo + b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


class BlockReader:
    """Reads the blocks of answers; ValueError when one is none, or needs the table that we forbade."""

    def __init__(self) -> None:
        self._known: dict[bytes, Fields] = {}

    def grpc_status(self, block: bytes) -> int | None:
        """The number of grpc-status; None where there is none."""
        at = block.find(_STATUS_NAME) + len(_STATUS_NAME)
        if at >= len(_STATUS_NAME) and block[at : at + 1] in {b"\x01", b"\x02"}:
            digits = block[at + 1 : at + 1 + block[at]]
            if digits.isdigit():
                return int(digits)
        value = dict(self.fields(block)).get("grpc-status", "")
        return int(value) if value.isdigit() else None

    def stamps(self, block: bytes) -> bytes:
        """The text of the server's stamps; empty where there is none."""
        at = block.find(_STAMPS_NAME) + len(_STAMPS_NAME)
        if len(_STAMPS_NAME) <= at < len(block) and block[at] < 0x7F:  # a length of one byte, not in Huffman's code
            text = block[at + 1 : at + 1 + block[at]]
            if text[:1].isdigit():  # the name is no other field's value
                return text
        return dict(self.fields(block)).get(STAMPS_HEADER, "").encode("latin-1")

    def fields(self, block: bytes) -> Fields:
        """All fields in their order, pseudo-fields included."""
        known = self._known.get(block)
        if known is None:
            known = _decoded(block)
            if len(self._known) < _MOST_REMEMBERED:
                self._known[block] = known
        return known


def _decoded(block: bytes) -> Fields:
    import hpack

    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    decoder.header_table_size = 0
    try:
        found = decoder.decode(block, raw=True)
    except hpack.HPACKError as error:
        raise ValueError(f"not a header block: {error}") from error
    return tuple((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in found)


def _text(text: str) -> bytes:
    """A string literal: its length as an integer with a prefix of 7 bits, then its bytes."""
    encoded = text.encode("latin-1")
    length = len(encoded)
    if length < 0x7F:
        return bytes([length]) + encoded
    digits, length = bytearray([0x7F]), length - 0x7F
    while length >= 0x80:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits) + encoded
