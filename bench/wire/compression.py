"""Bodies in gzip, unpacked only as far as they may be long."""

from __future__ import annotations

import gzip
import zlib

from .encoding import WireError

_LEVEL = 1  # what proxies use: the rest costs more time than it saves on a fast network
_GZIP_WINDOW = 31


class TooLarge(WireError):
    """A body that is longer than it may be: HTTP 413."""


def compressed(body: bytes) -> bytes:
    """`body` as one gzip member, the same for the same body."""
    return gzip.compress(body, _LEVEL, mtime=0)


def decompressed(body: bytes, max_bytes: int) -> bytes:
    """What one gzip member holds; TooLarge as soon as it is more than `max_bytes`."""
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = unpacking.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise WireError(f"the body is not gzip: {error}") from error
    if len(content) > max_bytes:
        raise TooLarge(f"the body unpacks to more than {max_bytes} bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise WireError("the body is not one whole gzip member")
    return content
