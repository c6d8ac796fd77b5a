"""gRPC drives against servers of the h2 library, and against gRPC's own."""

from __future__ import annotations

import gzip
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import TargetError
from bench.core.requests import DISCONNECTED, MALFORMED, OK_GRPC, TIMED_OUT
from bench.core.serving import Endpoint
from bench.load import Arrivals, Drive, Target, drive_closed, drive_open, open_target
from bench.load.http2_frames import GOAWAY, frame
from bench.wire import Message
from tests.load.h2_server import HEADERS, TRAILERS, Call, Server, handler
from tests.load.scripted import Handler, serving

PAYLOADS = [Message(path="/s/m", body=body) for body in (b"a", b"bb")]


def _endpoint(port: int, **fields: Any) -> Endpoint:
    return Endpoint(protocol="grpc", port=port, encoding="kserve_grpc", model="m", **fields)


@contextmanager
def _target(server: Handler, payloads: Sequence[Message] = PAYLOADS, **fields: Any) -> Iterator[Target]:
    options = {name: fields.pop(name) for name in ("max_connections", "grpc_connections") if name in fields}
    with serving(server) as port, open_target(_endpoint(port, **fields), payloads, **options) as target:
        yield target


def _drive(target: Target, count: int, rate: float = 2000, timeout_s: float = 5, **words: Any) -> Drive:
    plan = Arrivals(kind="constant", rate_per_s=rate, count=count)
    return drive_open(target, plan, timeout_s=timeout_s, **words)


def _echo(server: Server, stream: int, call: Call) -> None:
    server.reply(stream, call.message)


def test_calls_carry_their_payloads_and_answers_their_stamps() -> None:
    def answer(server: Server, stream: int, call: Call) -> None:
        assert call.headers[":path"] == "/s/m"
        assert call.headers["content-type"] == "application/grpc"
        assert call.headers["te"] == "trailers"
        server.reply(stream, call.message.upper(), [("bench-stamps", "7,1,2,3,4,5,6"), *TRAILERS])

    with _target(handler(answer)) as target:
        drive = _drive(target, 40, keep_every=3)
    requests = drive.requests
    assert set(requests.status.tolist()) == {OK_GRPC}
    assert {tuple(row) for row in requests.stamps.tolist()} == {(7, 1, 2, 3, 4, 5, 6)}
    assert [sample.position for sample in drive.samples] == list(range(0, 40, 3))
    for sample in drive.samples:
        assert sample.input == requests.input[sample.position]
        assert sample.body == (b"A", b"BB")[sample.input]
        assert sample.headers["grpc-status"] == "0"
        assert sample.headers["content-type"] == "application/grpc"
    assert drive.facts.connections_opened == 4
    assert drive.facts.bytes_received > 0 < drive.facts.bytes_sent


@pytest.mark.parametrize(
    ("headers", "trailers", "message", "status"),
    [
        (HEADERS, [("grpc-status", "3"), ("grpc-message", "no")], None, OK_GRPC + 3),
        (HEADERS, [("grpc-status", "14")], None, OK_GRPC + 14),
        (HEADERS, TRAILERS, None, MALFORMED),  # a unary answer has one message
        (HEADERS, [("grpc-status", "many")], b"x", MALFORMED),
        (HEADERS, [("x", "y")], b"x", MALFORMED),
        ([*HEADERS, ("grpc-status", "12")], None, None, OK_GRPC + 12),  # trailers only
        ([(":status", "502")], None, None, 502),  # a proxy without its server
        ([(":status", "200")], None, None, MALFORMED),
    ],
)
def test_the_status_is_grpcs_or_where_there_is_none_https(
    headers: list[tuple[str, str]], trailers: list[tuple[str, str]] | None, message: bytes | None, status: int
) -> None:
    def answer(server: Server, stream: int, call: Call) -> None:
        if trailers is None:
            server.http2.send_headers(stream, headers, end_stream=True)
        else:
            server.reply(stream, message, trailers)

    with _target(handler(answer)) as target:
        assert set(_drive(target, 5).requests.status.tolist()) == {status}


def test_two_messages_or_half_of_one_are_no_unary_answer() -> None:
    def answer(server: Server, stream: int, call: Call) -> None:
        whole = b"\0\0\0\0\x02ab"
        server.http2.send_headers(stream, HEADERS)
        server.http2.send_data(stream, whole * 2 if call.message == b"a" else whole[:-1])
        server.http2.send_headers(stream, TRAILERS, end_stream=True)

    with _target(handler(answer)) as target:
        assert set(_drive(target, 4).requests.status.tolist()) == {MALFORMED}


@pytest.mark.parametrize("settings", [{}, {"initial_window_size": 20_000}, {"max_frame_size": 1 << 20}])
def test_large_messages_go_both_ways(settings: dict[str, int]) -> None:
    message = np.random.default_rng(0).bytes(1 << 20)
    with _target(handler(_echo, **settings), [Message(path="/s/m", body=message)]) as target:
        drive = _drive(target, 6, rate=200, keep_every=1)
    assert set(drive.requests.status.tolist()) == {OK_GRPC}
    assert {sample.body == message for sample in drive.samples} == {True}
    assert len(drive.samples) == 6


def test_messages_are_compressed_where_the_endpoint_says_so() -> None:
    def answer(server: Server, stream: int, call: Call) -> None:
        assert call.headers["grpc-encoding"] == "gzip"
        assert call.body[0] == 1
        server.reply(stream, gzip.compress(gzip.decompress(call.message) * 2), compressed=True)

    with _target(handler(answer), compression="gzip") as target:
        drive = _drive(target, 4, keep_every=1)
    assert {sample.body for sample in drive.samples} == {b"aa", b"bbbb"}


def test_a_server_that_takes_few_streams_gets_more_connections_up_to_the_most() -> None:
    most: dict[Server, int] = {}

    def slow(server: Server, stream: int, call: Call) -> None:
        most[server] = server.most_open
        time.sleep(0.01)
        server.reply(stream, b"")

    for connections in (8, 2):
        most.clear()
        server = handler(slow, max_concurrent_streams=2)
        with _target(server, max_connections=connections, grpc_connections=1) as target:
            drive = _drive(target, 16, rate=10_000)
        assert set(drive.requests.status.tolist()) == {OK_GRPC}
        assert drive.facts.connections_opened == len(most) <= connections
        assert max(most.values()) == 2


def test_a_leaving_server_loses_no_call_that_it_had_not_begun() -> None:
    def answer(server: Server, stream: int, call: Call) -> None:
        if stream == 9:  # begun up to 7; and this one is not
            server.raw = frame(GOAWAY, 0, 0, struct.pack(">II", 7, 0))
        elif stream < 9:
            server.reply(stream, call.message)

    with _target(handler(answer), grpc_connections=1) as target:
        drive = _drive(target, 30, rate=500)
    assert set(drive.requests.status.tolist()) == {OK_GRPC}
    assert drive.facts.connections_opened >= 6


def test_a_refused_call_is_sent_once_more_and_not_for_ever() -> None:
    refused = 0

    def answer(server: Server, stream: int, call: Call) -> None:
        nonlocal refused
        refused += 1
        if call.message == b"a" or stream == 1:
            server.http2.reset_stream(stream, 7)
        else:
            server.reply(stream, b"")

    with _target(handler(answer), grpc_connections=1) as target:
        requests = _drive(target, 10, rate=100).requests
    assert {*requests.status[requests.input == 0].tolist()} == {DISCONNECTED}
    assert {*requests.status[requests.input == 1].tolist()} == {OK_GRPC}
    assert 15 <= refused <= 16


def test_a_reset_or_a_lost_connection_costs_the_calls_on_it_only() -> None:
    def resetting(server: Server, stream: int, call: Call) -> None:
        if stream == 5:
            server.http2.reset_stream(stream, 2)
        else:
            server.reply(stream, call.message)

    def losing(connection: socket.socket, number: int) -> None:
        server = Server(_echo)
        connection.sendall(server.output())
        while (data := connection.recv(65536)) and 7 not in server.calls:
            server.feed(data)
            connection.sendall(server.output())

    for server in (handler(resetting), losing):
        with _target(server, grpc_connections=1) as target:
            statuses = _drive(target, 12, rate=200).requests.status.tolist()
        assert statuses[:2] == [OK_GRPC] * 2
        assert DISCONNECTED in statuses
        assert statuses[-1] in {OK_GRPC, DISCONNECTED}
        assert statuses.count(OK_GRPC) >= 6


def test_a_call_that_is_never_answered_times_out_and_is_reset() -> None:
    servers = []

    def answer(server: Server, stream: int, call: Call) -> None:
        servers.append(server)
        if stream != 3:
            server.reply(stream, call.message)

    with _target(handler(answer), grpc_connections=1) as target:
        drive = _drive(target, 20, rate=100, timeout_s=0.3)
    lost = drive.requests.status == TIMED_OUT
    assert np.flatnonzero(lost).tolist() == [1]
    assert (drive.requests.done_ns - drive.requests.planned_ns)[lost].tolist() == [300_000_000]
    assert servers[0].resets == [3]


def test_a_server_of_another_protocol_or_none_is_said_before_the_drive() -> None:
    def http1(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with _target(http1) as target, pytest.raises(TargetError, match="does not speak HTTP/2"):
        _drive(target, 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with open_target(_endpoint(port), PAYLOADS) as target, pytest.raises(TargetError, match=f"127.0.0.1:{port}"):
        _drive(target, 1)


def test_a_closed_loop_keeps_its_callers_busy() -> None:
    def slow(server: Server, stream: int, call: Call) -> None:
        time.sleep(0.005)
        server.reply(stream, call.message)

    with _target(handler(slow)) as target:
        drive = drive_closed(target, concurrency=3, duration_s=0.2, timeout_s=5)
        again = drive_closed(target, concurrency=1, duration_s=5, timeout_s=5, max_requests=5)
    assert set(drive.requests.status.tolist()) == {OK_GRPC}
    assert 10 < len(drive.requests.status) <= 123
    assert len(again.requests.status) == 5
    assert drive.facts.connections_opened == 3
    assert again.facts.connections_opened == 0


_GRPC_SERVER = Path(__file__).parents[2] / "benchmarks" / "load_programs" / "grpcio_server.py"


@contextmanager
def _grpcio() -> Iterator[int]:
    with subprocess.Popen([sys.executable, str(_GRPC_SERVER)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_grpcs_own_server_answers_small_and_large_messages_alike(compression: str) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed: pip install grpcio")
    rng = np.random.default_rng(1)
    messages = [rng.bytes(size) for size in (1, 1000, 100_000, 1 << 20)]
    payloads = [Message(path="/test.Echo/Echo", body=message) for message in messages]
    with _grpcio() as port, open_target(_endpoint(port, compression=compression), payloads) as target:
        drive = _drive(target, 100, rate=100, keep_every=1, timeout_s=20)
        refused = open_target(_endpoint(port), [Message(path="/test.Echo/Refuse", body=b"x")])
        absent = open_target(_endpoint(port), [Message(path="/test.Echo/Absent", body=b"x")])
        with refused, absent:
            assert set(_drive(refused, 5).requests.status.tolist()) == {OK_GRPC + 8}
            assert set(_drive(absent, 5).requests.status.tolist()) == {OK_GRPC + 12}
    requests = drive.requests
    assert set(requests.status.tolist()) == {OK_GRPC}
    assert (requests.stamps[:, 1:] == [1, 2, 3, 4, 5, 6]).all()
    assert {messages[sample.input] == sample.body for sample in drive.samples} == {True}
    assert len(drive.samples) > 50
