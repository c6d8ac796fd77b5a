"""HTTP/1.1 drives against servers that break connections, cut answers, lose, double and compress them."""

from __future__ import annotations

import gc
import gzip
import hashlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import TargetError
from bench.core.requests import DISCONNECTED, MALFORMED, OK_HTTP, TIMED_OUT
from bench.core.serving import Endpoint, Stamps
from bench.load import Arrivals, Drive, Target, drive_closed, drive_open, open_target
from bench.wire import Message
from tests.load.scripted import Handler, read_request, serving

STAMPS = Stamps(worker=7, received_ns=1, dequeued_ns=2, decoded_ns=3, started_ns=4, inferred_ns=5, encoded_ns=10**17)
PAYLOADS = [
    Message(path=f"/v1/{body.decode()}", headers=(("content-type", "text/plain"),), body=body) for body in (b"a", b"bb")
]


def _endpoint(port: int, **fields: Any) -> Endpoint:
    return Endpoint(protocol="http", port=port, encoding="binary", model="m", **fields)


def _answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{field}\r\n" for field in (*fields, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def _answering(answer: Callable[[bytes, bytes, int], bytes | None]) -> Handler:
    """Answer each request with what `answer` makes of its head, its body and its number on the connection."""

    def handle(connection: socket.socket, _: int) -> None:
        number = 0
        while request := read_request(connection):
            reply = answer(*request, number)
            number += 1
            if reply is None:
                return
            connection.sendall(reply)

    return handle


@contextmanager
def _target(handler: Handler, payloads: Sequence[Message] = PAYLOADS, **fields: Any) -> Iterator[Target]:
    most = fields.pop("max_connections", 8)
    with (
        serving(handler) as port,
        open_target(_endpoint(port, **fields), payloads, max_connections=most) as target,
    ):
        yield target


def _drive(target: Target, count: int, rate: float = 2000, timeout_s: float = 5, **words: Any) -> Drive:
    plan = Arrivals(kind="constant", rate_per_s=rate, count=count)
    return drive_open(target, plan, timeout_s=timeout_s, **words)


def test_requests_carry_their_payloads_and_answers_their_stamps() -> None:
    def answer(head: bytes, body: bytes, _: int) -> bytes:
        assert head.startswith(b"POST /v1/" + body + b" HTTP/1.1\r\n")
        lines = head.decode().lower().split("\r\n")
        assert "content-type: text/plain" in lines
        assert any(line.startswith("host: 127.0.0.1:") for line in lines)
        return _answer(body.upper(), f"Bench-Stamps: {STAMPS.text()}")

    with _target(_answering(answer)) as target:
        drive = _drive(target, 40, keep_every=3, input_seed=4)
    requests = drive.requests
    assert set(requests.status.tolist()) == {OK_HTTP}
    assert {tuple(row) for row in requests.stamps.tolist()} == {(7, 1, 2, 3, 4, 5, 10**17)}
    assert sorted(requests.input.tolist()) == [0] * 20 + [1] * 20
    assert set(requests.verdict.tolist()) == {-1}
    assert (requests.sent_ns >= requests.planned_ns).all()
    assert (requests.done_ns > requests.sent_ns).all()
    assert [sample.position for sample in drive.samples] == list(range(0, 40, 3))
    for sample in drive.samples:
        assert sample.input == requests.input[sample.position]
        assert sample.body == (b"A", b"BB")[sample.input]
        assert sample.headers["bench-stamps"] == STAMPS.text()
    assert drive.facts.connections_opened == 8
    assert drive.facts.bytes_received > 40 * 80 < drive.facts.bytes_sent
    assert drive.facts.cpu_s > 0 < drive.facts.wall_s


def test_connections_live_through_drives_and_closed_ones_are_replaced() -> None:
    closing = _answering(lambda head, body, number: _answer(body, *(["Connection: close"] if number == 2 else [])))
    with _target(closing, max_connections=2) as target:
        first, second = _drive(target, 10), _drive(target, 11)
    statuses = [*first.requests.status.tolist(), *second.requests.status.tolist()]
    assert statuses == [OK_HTTP] * 21
    assert first.facts.connections_opened + second.facts.connections_opened in {7, 8}


def test_without_keep_alive_every_request_has_a_connection_of_its_own() -> None:
    def answer(head: bytes, body: bytes, number: int) -> bytes:
        assert b"connection: close" in head.lower()
        assert number == 0
        return _answer(body)

    with _target(_answering(answer), keep_alive=False) as target:
        drive = _drive(target, 20)
    assert set(drive.requests.status.tolist()) == {OK_HTTP}
    assert drive.facts.connections_opened == 20


def test_a_connection_that_breaks_costs_its_request_only() -> None:
    def answer(head: bytes, body: bytes, number: int) -> bytes | None:
        return None if number == 3 else _answer(body)

    def truncating(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(_answer(b"x" * 100)[:-1])

    with _target(_answering(answer), max_connections=1) as target:
        drive = _drive(target, 20)
    assert np.flatnonzero(drive.requests.status == DISCONNECTED).tolist() == [3, 7, 11, 15, 19]
    with _target(truncating, max_connections=1) as target:
        assert set(_drive(target, 3).requests.status.tolist()) == {DISCONNECTED}


def test_an_answer_may_end_with_its_connection() -> None:
    def ending(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the end")

    with _target(ending) as target:
        drive = _drive(target, 9, keep_every=1)
    assert set(drive.requests.status.tolist()) == {OK_HTTP}
    assert {sample.body for sample in drive.samples} == {b"to the end"}


def test_a_server_that_is_not_there_is_said_before_the_drive_and_disconnects_within() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with open_target(_endpoint(port), PAYLOADS) as target, pytest.raises(TargetError, match=f"127.0.0.1:{port}"):
        _drive(target, 1)
    with open_target(_endpoint(port, keep_alive=False), PAYLOADS) as target:
        assert set(_drive(target, 5).requests.status.tolist()) == {DISCONNECTED}


def test_what_is_not_http_is_malformed() -> None:
    with _target(_answering(lambda *_: b"220 mail.example ESMTP\r\n\r\n")) as target:
        assert set(_drive(target, 5).requests.status.tolist()) == {MALFORMED}


def test_every_33rd_error_and_every_50th_loss_are_counted_exactly() -> None:
    def handle(connection: socket.socket, _: int) -> None:
        while request := read_request(connection):
            number = int(request[1])
            if number % 50:
                connection.sendall(_answer(b"", status="200 OK" if number % 33 else "500 Internal Server Error"))

    payloads = [Message(path="/", body=b"%d" % number) for number in range(1, 199)]
    with _target(handle, payloads, max_connections=20) as target:
        drive = _drive(target, 198, rate=4000, timeout_s=0.5)
    status, numbers = drive.requests.status, drive.requests.input + 1
    assert sorted(numbers[status == 500].tolist()) == [33, 66, 99, 132, 165, 198]
    assert sorted(numbers[status == TIMED_OUT].tolist()) == [50, 100, 150]
    assert np.count_nonzero(status == OK_HTTP) == 198 - 9
    lost = status == TIMED_OUT
    assert set((drive.requests.done_ns - drive.requests.planned_ns)[lost].tolist()) == {500_000_000}


@pytest.mark.parametrize("pause_s", [0, 0.02])
def test_an_answer_that_comes_twice_is_noticed_and_taken_for_no_other(pause_s: float) -> None:
    def handle(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            answer = _answer(request[1])
            connection.sendall(answer * (2 if number == 0 and not pause_s else 1))
            if number == 0 and pause_s:
                time.sleep(pause_s)
                connection.sendall(answer)

    with _target(handle, max_connections=1) as target:
        drive = _drive(target, 10, rate=20 if pause_s else 1000)
    assert drive.facts.unsolicited == 1
    assert set(drive.requests.status.tolist()) == {OK_HTTP}
    assert drive.facts.connections_opened == 2


def test_large_bodies_go_both_ways_through_small_buffers() -> None:
    body = np.random.default_rng(0).bytes(12 << 20)  # far more than a socket's buffers hold

    def handle(connection: socket.socket, number: int) -> None:
        time.sleep(0.01)  # let the client's buffer fill
        while request := read_request(connection):
            connection.sendall(_answer(hashlib.sha256(request[1]).digest() + request[1]))

    with _target(handle, [Message(path="/", body=body)], max_connections=2) as target:
        drive = _drive(target, 3, rate=200, keep_every=2)
    assert set(drive.requests.status.tolist()) == {OK_HTTP}
    assert {sample.body for sample in drive.samples} == {hashlib.sha256(body).digest() + body}
    assert drive.facts.bytes_sent > 36 << 20 < drive.facts.bytes_received


def test_an_answer_before_the_whole_request_was_read_ends_both() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        connection.recv(1000)
        connection.sendall(_answer(b"", status="413 Too Large"))
        connection.recv(64 << 20)
        time.sleep(0.1)

    with _target(handle, [Message(path="/", body=bytes(16 << 20))], max_connections=1) as target:
        assert _drive(target, 2, rate=100).requests.status.tolist() == [413, 413]


def test_bodies_are_compressed_where_the_endpoint_says_so() -> None:
    def answer(head: bytes, body: bytes, _: int) -> bytes:
        assert b"content-encoding: gzip" in head.lower()
        assert b"accept-encoding: gzip" in head.lower()
        return _answer(gzip.compress(gzip.decompress(body) * 2), "Content-Encoding: gzip")

    with _target(_answering(answer), compression="gzip") as target:
        drive = _drive(target, 4, keep_every=1)
    assert {sample.body for sample in drive.samples} == {b"aa", b"bbbb"}


def test_samples_stop_at_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.single.SAMPLE_BUDGET_BYTES", 1000)
    with _target(_answering(lambda head, body, number: _answer(bytes(400)))) as target:
        drive = _drive(target, 10, keep_every=1)
    assert len(drive.samples) == 3


def test_a_request_that_timed_out_is_not_answered_by_the_next_ones_answer() -> None:
    def handle(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            time.sleep(0.3 if number == 0 else 0)
            connection.sendall(_answer(request[1]))

    with _target(handle, max_connections=1) as target:
        drive = _drive(target, 3, rate=5, timeout_s=0.2)
    assert drive.requests.status.tolist() == [TIMED_OUT, OK_HTTP, OK_HTTP]
    assert drive.facts.unsolicited == 0


def test_a_closed_loop_keeps_its_callers_busy() -> None:
    def answer(head: bytes, body: bytes, _: int) -> bytes:
        time.sleep(0.01)
        return _answer(body)

    with _target(_answering(answer), max_connections=4) as target:
        drive = drive_closed(target, concurrency=4, duration_s=0.3, timeout_s=5, keep_every=1)
    requests = drive.requests
    assert set(requests.status.tolist()) == {OK_HTTP}
    assert requests.planned_ns.tolist() == requests.sent_ns.tolist()
    assert 20 < len(requests.status) <= 124
    assert requests.input.tolist() == [row % 2 for row in range(len(requests.input))]
    starts = np.concatenate([requests.sent_ns, requests.done_ns])
    changes = np.concatenate([np.ones(len(requests.sent_ns)), -np.ones(len(requests.done_ns))])
    assert np.cumsum(changes[np.argsort(starts, kind="stable")]).max() == 4


def test_the_collector_and_the_timers_are_as_they_were_afterwards() -> None:
    slack = Path("/proc/self/timerslack_ns")
    before = slack.read_text()
    during: list[str] = []

    def answer(head: bytes, body: bytes, number: int) -> bytes:
        during.append(f"{gc.isenabled()}")
        return _answer(body)

    with _target(_answering(answer)) as target:
        _drive(target, 3)
    assert set(during) == {"False"}
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert slack.read_text() == before
