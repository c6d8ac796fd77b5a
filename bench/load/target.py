"""What a load is driven against: prepared payloads and the transport that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bench.core.serving import Endpoint
from bench.wire import Message

from .simulation import SimulatedServer, Simulation
from .transport import Transport


class Target:
    """A transport with `payloads` prepared payloads; close it, or use it in a `with`.

    Several drives may follow each other on it, over the same connections. `origin` is what it was opened from, None
    for a simulation.
    """

    def __init__(
        self,
        transport: Transport,
        payloads: int,
        *,
        max_connections: int,
        origin: tuple[Endpoint, tuple[Message, ...]] | None = None,
    ) -> None:
        if payloads < 1:
            raise ValueError("a target needs at least one payload")
        self.transport = transport
        self.payloads = payloads
        self.max_connections = max_connections
        self.origin = origin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; twice is harmless."""
        self.transport.close()


def open_target(
    endpoint: Endpoint, payloads: Sequence[Message], *, max_connections: int = 512, grpc_connections: int = 4
) -> Target:
    """Prepare `payloads` for `endpoint`; nothing is sent yet, and connections are opened by a drive.

    HTTP carries one request at a time on each of up to `max_connections` connections. gRPC carries many on each of
    `grpc_connections`, and opens further ones only where a server takes no more streams. HostError when so many files
    may not be open.
    """
    if endpoint.protocol == "grpc":
        from .grpc import GrpcTransport

        transport: Transport = GrpcTransport(
            endpoint, payloads, connections=grpc_connections, max_connections=max_connections
        )
    else:
        from .http1 import Http1Transport

        transport = Http1Transport(endpoint, payloads, max_connections=max_connections)
    return Target(transport, len(payloads), max_connections=max_connections, origin=(endpoint, tuple(payloads)))


def simulated_target(
    server: SimulatedServer, *, payloads: int = 1, max_connections: int = 1 << 30, send_ns: int = 0
) -> Target:
    """A server in arithmetic on a clock of its own: what real drives find can be held against what it must be.

    `max_connections` is how many requests may be outstanding, `send_ns` what sending one costs the client.
    """
    simulation = Simulation(server, max_connections=max_connections, send_ns=send_ns)
    return Target(simulation, payloads, max_connections=max_connections)
