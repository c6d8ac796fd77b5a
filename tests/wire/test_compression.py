"""Packed bodies are unpacked as far as they may be long, and not a byte further."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from bench.wire.compression import TooLarge, compressed, decompressed
from bench.wire.encoding import WireError


@pytest.mark.parametrize("body", [b"", b"a", bytes(range(256)) * 1000])
def test_what_is_packed_comes_out_again(body: bytes) -> None:
    assert decompressed(compressed(body), len(body)) == body
    assert compressed(body) == compressed(body)


def test_a_body_that_would_be_too_long_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="more than 1000 bytes"):
            decompressed(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b"", b"x", compressed(b"abc")[:-1], compressed(b"abc") + b"x", compressed(b"a") * 2])
def test_what_is_not_one_whole_member_is_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decompressed(body, 1000)
