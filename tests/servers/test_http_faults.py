"""Clients that are slow, greedy, many or mad: each gets its answer or is cut off, and whoever comes after is served."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest

from bench.core.serving import MAX_BODY_BYTES
from tests.servers.http_servers import Running, null_service, received, running_server

_BATCH = {"input": np.ones((1, 4), np.float32)}
_POST = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
_MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("server")
    bounds = {"header_timeout_s": 0.3, "idle_timeout_s": 0.6, "max_connections": 250, "max_body_bytes": _MAX_BODY_BYTES}
    with running_server(directory, null_service(directory), **bounds) as running:
        yield running


@pytest.fixture(autouse=True)
def _is_well_afterwards(server: Running) -> Iterator[None]:
    yield
    assert server.send("binary", _BATCH).status == 200


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _next_status(connection: socket.socket) -> int:
    """The status of one answer, of which nothing is left to read."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


@pytest.mark.parametrize(
    ("length", "status"),
    [(b"-1", 400), (b"1e3", 400), (b"10 0", 400), (b"9" * 30, 400), (b"100000000000000", 413), (b"100001", 413)],
)
def test_a_length_that_cannot_be_is_refused_before_any_body(server: Running, length: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(_POST + b"content-length: " + length + b"\r\n\r\n")
        assert _next_status(connection) == status


@pytest.mark.slow
def test_a_body_of_65_mebibytes_is_refused_and_its_sender_reads_why(tmp_path: Path) -> None:
    with running_server(tmp_path, null_service(tmp_path)) as server:
        for headers in ({}, {"content-type": "application/json"}):
            answer = server.ask("POST", "/v1/models/m:predict", bytes(65 << 20), headers)
            assert (answer.status, answer.error) == (
                413,
                f"the body has {65 << 20} bytes, at most {MAX_BODY_BYTES} are taken",
            )
        assert server.send("binary", _BATCH).status == 200


def test_a_body_in_pieces_without_an_end_is_refused_at_the_limit(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(_POST + b"transfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(_MAX_BODY_BYTES // 1000 + 1):
                connection.sendall(b"3e8\r\n" + bytes(1000) + b"\r\n")
        assert _next_status(connection) == 413


def test_a_connection_goes_on_after_a_body_that_was_refused(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(_POST + b"content-length: 200000\r\n\r\n")
        assert _next_status(connection) == 413
        connection.sendall(bytes(200_000) + b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert _next_status(connection) == 200


def test_a_packed_body_is_unpacked_no_further_than_the_limit(server: Running) -> None:
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    assert server.ask("POST", "/v1/predict", gzip.compress(bytes(50 << 20)), packed).status == 413
    for body in (b"no gzip", gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + b"x"):
        assert server.ask("POST", "/v1/predict", body, packed).status == 400
    unknown = server.ask("POST", "/v1/predict", b"{}", {**packed, "content-encoding": "br"})
    assert (unknown.status, unknown.headers["accept-encoding"]) == (415, "gzip")


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(server: Running) -> None:
    started = time.monotonic()
    assert server.raw(b"") == b"", "its client would take an answer for that to its first request"
    assert 0.2 < time.monotonic() - started < 5


@pytest.mark.parametrize("content", [b"POST /v1/pre", _POST, b"\r\n" * 3])
def test_a_head_that_does_not_come_is_not_waited_for(server: Running, content: bytes) -> None:
    started = time.monotonic()
    answer = server.raw(content)
    assert 0.2 < time.monotonic() - started < 5
    assert _status(answer) == 408


def test_a_head_that_drips_is_not_waited_for(server: Running) -> None:
    started = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(_POST)
        while time.monotonic() - started < 6:
            connection.sendall(b"a: b\r\n")
            time.sleep(0.05)
    assert time.monotonic() - started < 5


def test_a_body_that_does_not_come_is_not_waited_for(server: Running) -> None:
    answer = server.raw(_POST + b"content-length: 100\r\n\r\n{")
    assert _status(answer) == 408


def test_a_connection_that_is_kept_for_nothing_is_closed(server: Running) -> None:
    started = time.monotonic()
    assert _status(server.raw(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")) == 200
    assert time.monotonic() - started < 5


def test_a_head_without_an_end_is_refused(server: Running) -> None:
    with contextlib.suppress(ConnectionError):
        assert _status(server.raw(_POST + b"x: " + b"y" * 400_000)) == 431


def test_two_hundred_half_open_connections_keep_nobody_out(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\n")
        assert server.send("binary", _BATCH).status == 200


def test_too_many_connections_are_turned_away_and_told(server: Running) -> None:
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5)) for _ in range(260)
        ]
        assert _status(received(connections[-1])) == 503
    time.sleep(0.1)


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\0",
        b"POST /v1/predict HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(server: Running, content: bytes) -> None:
    assert _status(server.raw(content)) == 400


def test_two_lengths_are_refused(server: Running) -> None:
    for more in (b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"):
        assert _status(server.raw(_POST + b"content-length: 2\r\n" + more + b"connection: close\r\n\r\n{}")) == 400


def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Running) -> None:
    for content in (b"POST", _POST, _POST + b"content-length: 100\r\n\r\n{", _POST + b"content-length: 2\r\n\r\n{}"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(content)


def test_json_without_end_or_bottom_is_refused(server: Running) -> None:
    json_type = {"content-type": "application/json"}
    for body in (b"[" * 90_000, b'{"inputs":' * 9_000, b'{"inputs": {"input": ' + b"[" * 90_000):
        assert server.ask("POST", "/v1/predict", body, json_type).status == 400
        assert server.ask("POST", "/v2/models/m/infer", body).status == 400
        assert server.ask("POST", "/v1/models/m:predict", body).status == 400


def test_more_requests_than_may_wait_are_refused_at_once_and_counted(tmp_path: Path) -> None:
    def asked(_: int) -> tuple[int, float, str]:
        answer = server.send("binary", _BATCH)
        return answer.status, time.monotonic(), answer.headers.get("retry-after", "")

    with running_server(tmp_path, null_service(tmp_path, service_ms=400), max_waiting=1) as server:
        with ThreadPoolExecutor(8) as pool:
            answers = sorted(pool.map(asked, range(8)), key=itemgetter(1))
        # One is in the model and one waits; the others are told before either is answered.
        assert [status for status, _, _ in answers] == [503] * 6 + [200] * 2
        assert all(retry for _, _, retry in answers[:6])
        counts = server.counts()
        assert (counts.received, counts.answered, counts.refused, counts.failed) == (8, 2, 6, 0)
