"""Whom to ask: what people type for a server's address, and whether it speaks HTTP or gRPC."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from bench.core.errors import MatrixError, TargetError
from bench.core.serving import LOOPBACK

_FORMS = "a port, HOST:PORT, http://HOST:PORT or grpc://HOST:PORT"
_LAST_PORT = 65_535
_HELLO = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A host and a port; `transport` is empty where it has yet to be found out."""

    host: str
    port: int
    transport: Literal["", "http", "grpc"] = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in `text`; MatrixError says which forms there are."""
    bare = "://" not in text
    if bare and text.removeprefix(":").isdecimal():
        text = f"{LOOPBACK}:{text.removeprefix(':')}"
    parts = urlsplit(f"//{text}" if bare else text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or not 0 < port <= _LAST_PORT or parts.scheme not in {"", "http", "grpc"}:
        raise MatrixError(f"{text!r} is no address of a server", hint=f"write {_FORMS}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise MatrixError(
            f"{text!r} is more than the address of a server", hint=f"write {_FORMS}; a model is named by --model"
        )
    transport: Literal["", "http", "grpc"] = "" if bare else "grpc" if parts.scheme == "grpc" else "http"
    return Address(host=parts.hostname, port=port, transport=transport)


def with_transport(address: Address, timeout_s: float) -> Address:
    """The address with its transport, found out by asking; TargetError when nobody listens.

    A server of HTTP/1.1 answers a request in its own words, one of gRPC knows nothing but HTTP/2.
    """
    if address.transport:
        return address
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_s) as connection:
            connection.sendall(_HELLO % str(address).encode())
            said = connection.recv(len(b"HTTP/1."))
    except ConnectionResetError:  # how some HTTP/2 servers refuse HTTP/1.1
        said = b""
    except OSError as error:
        raise nobody_there(address, error) from error
    return replace(address, transport="http" if said == b"HTTP/1." else "grpc")


def nobody_there(address: Address, error: OSError) -> TargetError:
    """The error for a server that cannot be reached."""
    if isinstance(error, ConnectionRefusedError):
        return TargetError(
            f"nothing listens on {address}", hint=f"start a server: bench serve MODEL --port {address.port}"
        )
    if isinstance(error, TimeoutError):
        return TargetError(f"{address} does not answer in time", hint="is it the right port? --timeout waits longer")
    return TargetError(f"{address} cannot be reached: {error.strerror or error}", hint="check host and port")
