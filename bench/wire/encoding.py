"""What every encoding of tensors promises, and the one error that says why a message is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.core.artifact import TensorSpec

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


class WireError(Exception):
    """A body that cannot be understood or does not fit the model: the sender's mistake, one line, HTTP 400."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A request or an answer on the wire: `path` and `headers` mean something to HTTP, of gRPC `path` is the method.

    Header names are in lower case. `body` of gRPC is the message without its five bytes of framing.
    """

    body: bytes
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Encoding(Protocol):
    """One way to write tensors, from both sides; all four are pure, and shapes and dtypes survive the round trip.

    Tensors are named by their canonical names (`TensorSpec.name`). Decoders take nothing for granted: sizes, types and
    nesting are checked before memory is taken, and whatever is wrong is a WireError.
    """

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """The request that asks `model` for its outputs on `batch`."""
        ...

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """The batch in a request; arrays may be read-only views of `body`."""
        ...

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """The answer that carries `outputs`."""
        ...

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """Output name -> array, with the dtypes that `specs` declare where the wire has only numbers."""
        ...
