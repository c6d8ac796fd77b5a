"""What every protocol of a server can be asked, and how it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from bench.core.errors import TargetError

from .signature import Signature

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Outputs by name; `latency_s` is from before the request was written to after the answer was read, and holds no
    encoding or decoding. Bytes are of the two bodies."""

    outputs: Mapping[str, Array]
    latency_s: float
    sent_bytes: int
    received_bytes: int


class NotSpoken(Exception):
    """The server does not speak this protocol, or has no model of that name: it does not say which."""


class Refused(TargetError):
    """The server answered with an error of its own."""


class Dialect(Protocol):
    """One protocol spoken with one server, over a connection that is kept; `close` twice is harmless."""

    name: ClassVar[str]  # as on the command line
    transport: ClassVar[Literal["http", "grpc"]]

    def models(self) -> tuple[str, ...]:
        """The models it serves as far as it tells; none where it does not."""
        ...

    def signature(self, model: str) -> Signature:
        """The tensors of a model; NotSpoken when there is no such model, or no such protocol."""
        ...

    def ask(self, model: str, batch: Batch, signature: Signature) -> Reply:
        """One request; Refused in the server's words when it answers with no outputs."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...
