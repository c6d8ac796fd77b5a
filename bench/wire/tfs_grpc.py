"""TensorFlow Serving's gRPC: tensorflow.serving.PredictRequest and PredictResponse (predict.proto).

Numbers travel as `tensor_content`, text as `string_val`; decoders also take values written one by one, as TensorFlow
Serving answers by default. The signature is the model's default one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bench.core.artifact import TensorSpec

from .dtypes import wire_name
from .encoding import Message, WireError
from .protobuf import serving
from .protobuf.tensors import array_of, fill_tensor
from .signature import answered, fitted, require_names

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

PREDICT_PATH = "/tensorflow.serving.PredictionService/Predict"


class TfsGrpc:
    """Tensors in the messages of PredictionService.Predict."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A PredictRequest; no filter is set, so that every output comes back."""
        request = serving.PredictRequest()
        request.model_spec.name = model
        for name, array in batch.items():
            fill_tensor(request.inputs[name], array, wire_name(array))
        return Message(body=request.SerializeToString(), path=PREDICT_PATH)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """The inputs of a PredictRequest."""
        return inputs_in(parsed(serving.PredictRequest, body).inputs, inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """A PredictResponse."""
        response = serving.PredictResponse()
        response.model_spec.name = model
        for spec in specs:
            fill_tensor(response.outputs[spec.name], outputs[spec.name], spec.dtype)
        return Message(body=response.SerializeToString())

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """The outputs of a PredictResponse, of any shape."""
        tensors = parsed(serving.PredictResponse, body).outputs
        return answered(
            {spec.name: array_of(tensors[spec.name], spec) for spec in specs if spec.name in tensors}, specs
        )


def parsed(message_class: Any, body: bytes) -> Any:
    """The message in `body`; WireError when it is none."""
    try:
        return message_class.FromString(body)
    except DecodeError as error:
        raise WireError(f"not a {message_class.DESCRIPTOR.full_name}: {error}") from error


def inputs_in(tensors: Mapping[str, Any], specs: Sequence[TensorSpec]) -> Batch:
    """Arrays of a map of TensorProtos, one for each spec; WireError when they do not fit."""
    require_names(tensors, specs)
    return fitted({spec.name: array_of(tensors[spec.name], spec) for spec in specs}, specs)


ENCODING = TfsGrpc()
