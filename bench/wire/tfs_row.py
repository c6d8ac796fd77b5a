"""TensorFlow Serving's REST API in the row format (`bench.wire.tfs_messages`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.core.artifact import TensorSpec

from .encoding import Message
from .tfs_messages import decode_predict, decode_predictions, encode_predict, encode_predictions

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


class TfsRest:
    """Tensors as nested lists, by sample or by tensor."""

    def __init__(self, *, rows: bool) -> None:
        self._rows = rows

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A POST to `/v1/models/<model>:predict`."""
        return encode_predict(model, batch, rows=self._rows)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """Either format; which of them it was is `decode_predict`'s second result."""
        return decode_predict(body, inputs)[0]

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """All outputs."""
        return encode_predictions(outputs, specs, rows=self._rows)

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """Outputs of any shape."""
        return decode_predictions(body, specs, rows=self._rows)


ENCODING = TfsRest(rows=True)
