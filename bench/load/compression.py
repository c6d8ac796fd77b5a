"""gzip, the one compression that both protocols negotiate; never more out of it than a body may have."""

from __future__ import annotations

import gzip
import zlib

from bench.core.serving import MAX_BODY_BYTES

_LEVEL = 6
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def compressed(body: bytes) -> bytes:
    """The same bytes for the same body, on any day."""
    return gzip.compress(body, _LEVEL, mtime=0)


def decompressed(body: bytes) -> bytes:
    """The body in a gzip stream; as it came where it is none, for its reader to say what it is worth."""
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return body
