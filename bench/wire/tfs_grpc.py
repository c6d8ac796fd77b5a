"""TensorFlow Serving's gRPC: tensorflow.serving.PredictRequest and PredictResponse (predict.proto).

Numbers travel as `tensor_content`, text as `string_val`; decoders also take values written one by one, as TensorFlow
Serving answers by default. The signature is the model's default one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bench.core.artifact import TensorSpec

from .encoding import Message, WireError
from .protobuf import serving
from .protobuf.tensors import array_of, fill_tensor

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
            spec = TensorSpec(name=name, dtype="str" if array.dtype.kind in "OSU" else array.dtype.name, shape=())
            fill_tensor(request.inputs[name], array, spec)
        return Message(body=request.SerializeToString(), path=PREDICT_PATH)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """The inputs of a PredictRequest."""
        return tensors_in(parsed(serving.PredictRequest, body).inputs, inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """A PredictResponse."""
        response = serving.PredictResponse()
        response.model_spec.name = model
        for spec in specs:
            fill_tensor(response.outputs[spec.name], outputs[spec.name], spec)
        return Message(body=response.SerializeToString())

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """The outputs of a PredictResponse."""
        return tensors_in(parsed(serving.PredictResponse, body).outputs, specs)


def parsed(message_class: Any, body: bytes) -> Any:
    """The message in `body`; WireError when it is none."""
    try:
        return message_class.FromString(body)
    except DecodeError as error:
        raise WireError(f"not a {message_class.DESCRIPTOR.full_name}: {error}") from error


def tensors_in(tensors: Mapping[str, Any], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Arrays of a map of TensorProtos, one per spec; WireError when the names differ, or sizes of one dimension do."""
    require_names(tensors, specs)
    arrays = {spec.name: array_of(tensors[spec.name], spec) for spec in specs}
    require_equal_sizes(arrays, specs)
    return arrays


def require_names(given: Iterable[str], specs: Sequence[TensorSpec]) -> None:
    """WireError in TensorFlow Serving's words when `given` are not the names of `specs`."""
    sent, wanted = set(given), {spec.name for spec in specs}
    if sent != wanted:
        raise WireError(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({_listed(sent)}) != "
            f"len({_listed(wanted)}). Sent extra: {_listed(sent - wanted)}. "
            f"Missing but required: {_listed(wanted - sent)}."
        )


def require_equal_sizes(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> None:
    """WireError when a named dimension has one size in one tensor and another in the next."""
    sizes: dict[str, int] = {}
    for spec in specs:
        for dim, size in zip(spec.shape, arrays[spec.name].shape, strict=True):
            if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                raise WireError(f"the dimension {dim!r} is {size} in {spec.name!r} and {sizes[dim]} elsewhere")


def _listed(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"


ENCODING = TfsGrpc()
