"""What people type for an address, and what is said when it is none or nobody is there."""

from __future__ import annotations

import socket
import threading

import pytest

from bench.core.errors import MatrixError, TargetError
from bench.query import Address, parse_address
from bench.query.address import with_transport


@pytest.mark.parametrize(
    ("text", "host", "port", "transport"),
    [
        ("8000", "127.0.0.1", 8000, ""),
        (":8000", "127.0.0.1", 8000, ""),
        ("localhost:1", "localhost", 1, ""),
        ("http://10.0.0.1:8501", "10.0.0.1", 8501, "http"),
        ("http://host:8501/", "host", 8501, "http"),
        ("grpc://host:65535", "host", 65535, "grpc"),
    ],
)
def test_an_address_is_a_port_or_a_host_and_a_port(text: str, host: str, port: int, transport: str) -> None:
    found = parse_address(text)
    assert (found.host, found.port, found.transport) == (host, port, transport)


@pytest.mark.parametrize(
    "text",
    ["", "host", "0", "65536", "host:x", "https://host:1", "http://host", "http://host:1/v1/models/m", "http://a@b:1",
     "host:1?x=2"],
)  # fmt: skip
def test_what_is_no_address_is_told_which_forms_there_are(text: str) -> None:
    with pytest.raises(MatrixError) as caught:
        parse_address(text)
    assert "grpc://HOST:PORT" in str(caught.value.hint)


def test_a_port_on_which_nobody_listens_says_what_to_start() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address(host="127.0.0.1", port=free.getsockname()[1])
        with pytest.raises(TargetError, match="nothing listens on") as caught:
            with_transport(address, 1.0)
    assert caught.value.hint == f"start a server: bench serve MODEL --port {address.port}"


@pytest.mark.parametrize(
    ("answer", "transport"),
    [(b"HTTP/1.1 404 Not Found\r\n\r\n", "http"), (b"\0\0\x12\x04\0\0\0\0\0", "grpc"), (b"", "grpc")],
)
def test_a_server_is_known_by_how_it_answers_http(answer: bytes, transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        found = with_transport(Address(host="127.0.0.1", port=listener.getsockname()[1]), 5.0)
        server.join()
    assert found.transport == transport


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(host="127.0.0.1", port=listener.getsockname()[1])
        with pytest.raises(TargetError, match="does not answer in time"):
            with_transport(address, 0.05)
