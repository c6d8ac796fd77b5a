"""The reader of HTTP/1.1 answers: the same answer wherever its bytes are cut, and nothing that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from bench.load.http_answer import AnswerReader, MalformedAnswerError, fields_of

STAMPS = b"1,2,3,4,5,6,7"
#: name -> bytes, status, body, whether the connection may be used again
ANSWERS: dict[str, tuple[bytes, int, bytes, bool]] = {
    "length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nBench-Stamps:1,2,3,4,5,6,7 \r\n\r\nhello", 200, b"hello", True,
    ),
    "nothing": (b"HTTP/1.1 500 Internal Server Error\r\ncontent-length:0\r\n\r\n", 500, b"", True),
    "no reason": (b"HTTP/1.1 404 \r\ncontent-length: 2\r\n\r\nno", 404, b"no", True),
    "chunks": (
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n1;x=y\r\n \r\n00A\r\n0123456789\r\n0\r\n\r\n"),
        200,
        b"hello 0123456789",
        True,
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        200,
        b"ok",
        True,
    ),
    "closing": (b"HTTP/1.1 503 Busy\r\nConnection: Close\r\ncontent-length: 1\r\n\r\nx", 503, b"x", False),
    "old": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "old and open": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "continue": (
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"),
        200,
        b"x",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n", 204, b"", True),
    "both": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        200, b"x", False,
    ),
}  # fmt: skip


def _cuts(data: bytes) -> Iterator[Sequence[bytes]]:
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_is_the_same_wherever_it_is_cut(name: str) -> None:
    data, status, body, is_reusable = ANSWERS[name]
    reader = AnswerReader()
    for pieces in _cuts(data):
        reader.begin(keeps_body=True)
        ends = [reader.feed(piece) for piece in pieces]
        assert ends == [False] * (len(pieces) - 1) + [True]
        assert (reader.status, b"".join(reader.pieces), reader.is_reusable) == (status, body, is_reusable)
        assert reader.stamps == (STAMPS if b"Stamps" in data else b"")
        assert not reader.excess


def test_an_answer_without_a_length_lasts_to_the_end_of_the_connection() -> None:
    reader = AnswerReader()
    for pieces in _cuts(b"HTTP/1.1 200 OK\r\nserver: old\r\n\r\nsome bytes"):
        reader.begin(keeps_body=True)
        assert not any(reader.feed(piece) for piece in pieces)
        assert reader.end()
        assert (b"".join(reader.pieces), reader.is_reusable) == (b"some bytes", False)


def test_a_body_that_nobody_wants_is_not_kept() -> None:
    reader = AnswerReader()
    assert reader.feed(ANSWERS["chunks"][0])
    assert reader.pieces == []


def test_bytes_after_an_answer_are_noticed() -> None:
    reader = AnswerReader()
    for name in ("length", "nothing", "chunks", "trailers"):
        reader.begin(keeps_body=False)
        assert reader.feed(ANSWERS[name][0] + b"H")
        assert reader.excess


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 67108865\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 5000,
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000,
    ],
)
def test_what_is_no_answer_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        AnswerReader().feed(data)


def test_chunks_together_are_no_more_than_a_body_may_be() -> None:
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"1000000\r\n" + bytes(1 << 24) + b"\r\n"
    for _ in range(4):
        reader.feed(chunk)
    with pytest.raises(MalformedAnswerError, match="more than 67108864"):
        reader.feed(chunk)


def test_fields_are_found_by_their_names_in_lower_case() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\nVia: a\r\nVIA: b\r\nno colon\r\n"
    assert fields_of(head) == {"content-type": "text/plain", "via": "a, b"}
