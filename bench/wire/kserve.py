"""The Open Inference Protocol (KServe v2) with tensors as JSON; bytes are read too (`bench.wire.kserve_messages`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.core.artifact import TensorSpec

from .encoding import Message
from .kserve_messages import Wish, decode_answer, decode_inference, encode_answer, encode_inference

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


class KServe:
    """Tensors as one list of numbers each, or as bytes after the JSON."""

    def __init__(self, *, binary: bool) -> None:
        self._binary = binary

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A POST to `/v2/models/<model>/infer` that asks for all outputs in the same form."""
        return encode_inference(model, batch, binary=self._binary)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """JSON, bytes, or some of each; how it wishes to be answered is `decode_inference`'s second result."""
        return decode_inference(body, headers, inputs)[0]

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """All outputs."""
        return encode_answer(model, outputs, specs, Wish(binary=self._binary))

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """JSON, bytes, or some of each."""
        return decode_answer(body, headers, specs)


ENCODING = KServe(binary=False)
