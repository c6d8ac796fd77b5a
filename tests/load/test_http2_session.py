"""The client's half of HTTP/2 against the h2 library: every cut, every window, every farewell."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import hpack
import numpy as np
import pytest

from bench.load.header_blocks import BlockReader, request_block
from bench.load.http2 import Session
from bench.load.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Ending,
    Http2Error,
    PreparedRequest,
    Stream,
    frame,
)
from tests.load.h2_server import Call, Server, framed

BLOCK = request_block("127.0.0.1:80", "/s/m", [("te", "trailers"), ("content-type", "application/grpc")])


def _echo(server: Server, stream: int, call: Call) -> None:
    server.reply(stream, call.message)


def _stream(number: int = 0) -> Stream:
    return Stream(number, 0, keeps=True)


def _exchange(
    session: Session, server: Server, cut: Callable[[bytes], Sequence[bytes]] = lambda data: [data]
) -> list[Stream]:
    """Carry bytes to and fro until neither side has any to send; the streams that ended."""
    ended: list[Stream] = []
    while True:
        sent = b"".join(session.output)
        session.output.clear()
        for piece in cut(sent):
            server.feed(piece)
        answer = server.output()
        for piece in cut(answer):
            ended += session.feed(piece)
        if not sent and not answer:
            return ended


def _bodies(streams: Sequence[Stream]) -> list[bytes]:
    return [b"".join(stream.pieces) for stream in streams]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_calls_are_answered_whatever_is_cut_where(size: int) -> None:
    session, server = Session(), Server(_echo)
    for number in range(3):
        session.begin(_stream(number), PreparedRequest(BLOCK, framed(b"x" * number)))
    ended = _exchange(session, server, lambda data: [data[at : at + size] for at in range(0, len(data), size)])
    assert [stream.request for stream in ended] == [0, 1, 2]
    assert _bodies(ended) == [framed(b"x" * number) for number in range(3)]
    assert [stream.prefix + b"x" * (stream.size - 5) for stream in ended] == _bodies(ended)
    assert server.calls[1].headers[":path"] == "/s/m"
    assert server.calls[1].headers[":authority"] == "127.0.0.1:80"
    assert session.streams == {}


@pytest.mark.parametrize("window", [3_000, 65_535, 1 << 20])
@pytest.mark.parametrize("largest", [16_384, 1 << 20])
def test_bodies_far_above_the_windows_go_both_ways(window: int, largest: int) -> None:
    session, server = Session(), Server(_echo, initial_window_size=window, max_frame_size=largest)
    messages = [np.random.default_rng(size).bytes(size) for size in (1 << 20, 10, 300_000)]
    assert _exchange(session, server) == []
    for number, message in enumerate(messages):
        session.begin(_stream(number), PreparedRequest(BLOCK, framed(message)))
    ended = _exchange(session, server)
    assert sorted(stream.request for stream in ended) == [0, 1, 2]
    for stream in ended:
        assert b"".join(stream.pieces) == framed(messages[stream.request])


def test_many_small_bodies_share_the_connections_window() -> None:
    session, server = Session(), Server(_echo, initial_window_size=1 << 20)
    assert _exchange(session, server) == []
    for number in range(9):
        session.begin(_stream(number), PreparedRequest(BLOCK, framed(bytes(16_000))))
    assert sum(map(len, session.output)) < 65_535 + 9 * len(BLOCK) + 20 * 9
    assert [stream.request for stream in _exchange(session, server)] == list(range(9))


def test_a_window_that_shrinks_below_zero_holds_the_body_until_it_opens() -> None:
    session, server = Session(), Server(_echo)
    assert _exchange(session, server) == []
    session.begin(_stream(), PreparedRequest(BLOCK, framed(bytes(100_000))))
    assert sum(map(len, session.output)) < 66_000  # the connection's window
    session.feed(_settings(4, 1000) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20)))
    sent = sum(map(len, session.output))
    assert session.feed(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 64_000))) == []
    assert sum(map(len, session.output)) == sent  # 65,535 were used, 65,000 are allowed
    session.feed(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1535)))
    assert sum(map(len, session.output)) == sent + 9 + 1000


def test_a_body_that_waits_for_its_own_window_lets_others_pass() -> None:
    session, server = Session(), Server(_echo, initial_window_size=1000)
    assert _exchange(session, server) == []
    session.begin(_stream(0), PreparedRequest(BLOCK, framed(bytes(5000))))
    session.begin(_stream(1), PreparedRequest(BLOCK, framed(b"small")))
    server.feed(b"".join(session.output))
    assert bytes(server.calls[3].body) == framed(b"small")
    assert len(server.calls[1].body) == 1000


def test_no_more_streams_are_open_than_the_server_takes() -> None:
    session, server = Session(), Server(lambda *_: None, max_concurrent_streams=3)
    assert _exchange(session, server) == []
    opened = 0
    while session.has_room:
        session.begin(_stream(opened), PreparedRequest(BLOCK, framed(b"")))
        opened += 1
    _exchange(session, server)
    assert opened == server.most_open == 3
    server.reply(1, b"")
    assert len(_exchange(session, server)) == 1
    assert session.has_room


def test_a_farewell_names_the_streams_that_were_not_begun() -> None:
    session, server = Session(), Server(lambda *_: None)
    for number in range(4):
        session.begin(_stream(number), PreparedRequest(BLOCK, framed(b"")))
    _exchange(session, server)
    server.reply(3, b"late")
    ended = session.feed(frame(GOAWAY, 0, 0, struct.pack(">II", 3, 0)) + server.output())
    assert [(stream.request, stream.ending) for stream in ended] == [
        (2, Ending.REFUSED), (3, Ending.REFUSED), (1, Ending.ANSWERED),
    ]  # fmt: skip
    assert session.is_leaving
    assert not session.has_room
    assert list(session.streams) == [1]


@pytest.mark.parametrize(("code", "ending"), [(7, Ending.REFUSED), (2, Ending.RESET), (0, Ending.RESET)])
def test_a_reset_ends_its_stream_only(code: int, ending: Ending) -> None:
    session, server = Session(), Server(lambda *_: None)
    for number in range(2):
        session.begin(_stream(number), PreparedRequest(BLOCK, framed(bytes(200_000))))
    _exchange(session, server)
    server.http2.reset_stream(1, code)
    server.reply(3, b"ok")
    ended = _exchange(session, server)
    assert [(stream.request, stream.ending) for stream in ended] == [(0, ending), (1, Ending.ANSWERED)]


def test_what_still_comes_of_a_cancelled_stream_is_passed_over_and_a_second_answer_is_not() -> None:
    session, server = Session(), Server(lambda *_: None)
    stream = _stream()
    session.begin(stream, PreparedRequest(BLOCK, framed(b"x")))
    answer = _answer(1) + _answer(3)
    session.begin(_stream(1), PreparedRequest(BLOCK, framed(b"x")))
    session.cancel(stream)
    assert [ended.request for ended in session.feed(answer)] == [1]
    assert session.unsolicited == 0
    assert session.feed(_answer(3)) == []
    assert session.unsolicited == 1
    _exchange(session, server)
    assert server.resets == [1]


def test_an_answer_before_the_end_of_its_request_stops_the_request() -> None:
    session = Session()
    session.begin(_stream(), PreparedRequest(BLOCK, framed(bytes(1 << 20))))
    session.output.clear()
    (ended,) = session.feed(_answer(1))
    assert ended.ending is Ending.ANSWERED
    assert session.output == [frame(RST_STREAM, 0, 1, bytes(4))]
    session.output.clear()
    session.feed(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20)))
    assert session.output == []


def test_padded_prioritised_and_continued_frames_say_the_same() -> None:
    block = _block(":status", "200")
    trailers = _block("grpc-status", "0")
    answer = (
        frame(HEADERS, PADDED | 0x20, 1, b"\x03" + bytes(5) + block[:1] + bytes(3))
        + frame(CONTINUATION, 0, 1, block[1:])
        + frame(CONTINUATION, END_HEADERS, 1, b"")
        + frame(DATA, PADDED, 1, b"\x02" + framed(b"abc")[:4] + bytes(2))
        + frame(DATA, 0, 1, framed(b"abc")[4:])
        + frame(77, 0xFF, 1, b"a kind of the future")
        + frame(HEADERS, END_STREAM, 1, trailers[:5])
        + frame(CONTINUATION, END_HEADERS, 1, trailers[5:])
    )
    session = Session()
    for at in range(len(answer)):
        session.begin(_stream(at), PreparedRequest(BLOCK, framed(b"")))
        number = 1 + 2 * at
        data = b"".join(_renumbered(answer, number))
        assert session.feed(data[:at]) == []
        (ended,) = session.feed(data[at:])
        assert ended.blocks == [block, trailers]
        assert (b"".join(ended.pieces), ended.prefix, ended.size) == (framed(b"abc"), framed(b"abc")[:5], 8)


def _renumbered(frames: bytes, number: int) -> Sequence[bytes]:
    found = []
    while frames:
        end = 9 + int.from_bytes(frames[:3], "big")
        found.append(frames[:5] + struct.pack(">I", number) + frames[9:end])
        frames = frames[end:]
    return found


def test_pings_and_settings_are_acknowledged() -> None:
    session = Session()
    session.output.clear()
    session.feed(frame(PING, 0, 0, b"12345678") + _settings(3, 5) + frame(PING, 1, 0, b"87654321"))
    assert b"".join(session.output) == frame(PING, 1, 0, b"12345678") + frame(SETTINGS, 1, 0, b"")
    assert session.is_greeted


def test_the_window_of_the_connection_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.http2._REOPENED_AT", 50_000)
    session = Session()
    session.begin(_stream(), PreparedRequest(BLOCK, framed(b"")))
    session.output.clear()
    for _ in range(4):
        session.feed(frame(DATA, 0, 1, bytes(16_384)))
    assert session.output == [frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 4 * 16_384))]


def test_an_answer_that_never_ends_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.http2._MAX_ANSWER_BYTES", 20_000)
    session = Session()
    session.begin(_stream(), PreparedRequest(BLOCK, framed(b"")))
    assert session.feed(frame(DATA, 0, 1, bytes(16_384))) == []
    (ended,) = session.feed(frame(DATA, 0, 1, bytes(16_384)))
    assert ended.ending is Ending.TOO_LONG
    assert session.output[-1] == frame(RST_STREAM, 0, 1, struct.pack(">I", 8))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(DATA, 0, 1, bytes(16_385)),
        frame(PUSH_PROMISE, END_HEADERS, 1, bytes(8)),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, bytes(8)),
        frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 3, b""),
        frame(HEADERS, 0, 1, b"") + 17 * frame(CONTINUATION, 0, 1, bytes(16_384)),
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09abc"),
        frame(DATA, PADDED, 1, b""),
        frame(HEADERS, END_HEADERS | END_STREAM, 9, b""),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, b""),
        frame(SETTINGS, 0, 0, b"12345"),
        frame(SETTINGS, 1, 0, b"123456"),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 100)),
        frame(PING, 0, 0, b"1234"),
        frame(GOAWAY, 0, 0, b"1234"),
        frame(RST_STREAM, 0, 0, bytes(4)),
        frame(RST_STREAM, 0, 5, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, bytes(4)),
        frame(WINDOW_UPDATE, 0, 0, b"123"),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1)),
        frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", (1 << 31) - 1)),
    ],
)
def test_a_server_that_breaks_the_protocol_is_believed_no_more(data: bytes) -> None:
    session = Session()
    session.begin(_stream(), PreparedRequest(BLOCK, framed(bytes(10))))
    with pytest.raises(Http2Error):
        session.feed(data)


def test_the_first_bytes_are_the_preface_and_settings_without_a_table() -> None:
    output = b"".join(Session().output)
    assert output.startswith(PREFACE)
    assert struct.pack(">HI", 1, 0) in output


# ------------------------------------------------------------------------------------------------------- header fields


def _block(*words: str) -> bytes:
    encoder = hpack.Encoder()
    return bytes(encoder.encode(list(zip(words[::2], words[1::2], strict=True)), huffman=False))


def _plain(*words: str) -> bytes:
    """As the C core of gRPC writes it: literals without a table and without Huffman's code."""
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in zip(words[::2], words[1::2], strict=True)
    )


def _answer(number: int) -> bytes:
    return (
        frame(HEADERS, END_HEADERS, number, _plain(":status", "200"))
        + frame(DATA, 0, number, framed(b"x"))
        + frame(HEADERS, END_HEADERS | END_STREAM, number, _plain("grpc-status", "0"))
    )


def _settings(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


def test_a_requests_block_is_read_by_others() -> None:
    long = "x" * 1000
    block = request_block("h:1", "/s/m", [("te", "trailers"), ("long", long), ("edge", "y" * 127)])
    found = dict(hpack.Decoder().decode(block))
    assert found == {
        ":method": "POST", ":scheme": "http", ":path": "/s/m", ":authority": "h:1", "te": "trailers", "long": long,
        "edge": "y" * 127,
    }  # fmt: skip


@pytest.mark.parametrize("huffman", [True, False])
@pytest.mark.parametrize("status", ["0", "4", "14", None])
@pytest.mark.parametrize("stamps", ["7,1,2,3,4,5,6", "9" * 130, None])
def test_status_and_stamps_are_found_however_they_are_written(
    huffman: bool, status: str | None, stamps: str | None
) -> None:
    fields = [
        ("x", "y"),
        *([("bench-stamps", stamps)] if stamps else []),
        *([("grpc-status", status)] if status else []),
    ]
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    blocks = [bytes(encoder.encode(fields, huffman=huffman))]
    if not stamps or len(stamps) < 128:
        blocks.append(_plain(*[word for field in fields for word in field]))
    reader = BlockReader()
    for block in blocks * 2:
        assert reader.grpc_status(block) == (int(status) if status else None)
        assert reader.stamps(block) == (stamps or "").encode()
        assert reader.fields(block) == tuple(fields)


def test_the_word_inside_another_fields_value_is_not_taken_for_the_status() -> None:
    reader = BlockReader()
    assert reader.grpc_status(_plain("grpc-message", "no \x0bgrpc-status 5", "grpc-status", "13")) == 13
    assert reader.stamps(_plain("grpc-message", "bench-stamps")) == b""


@pytest.mark.parametrize("block", [b"\x00\x05ab", b"\xbe", b"\x3f\xe1\x1f", b"\x00\x0cbench-stamps"])
def test_a_block_that_is_none_or_needs_the_table_is_refused(block: bytes) -> None:
    reader = BlockReader()
    with pytest.raises(ValueError, match="header block"):
        reader.grpc_status(block)
    with pytest.raises(ValueError, match="header block"):
        reader.stamps(block)
