"""KServe v2 over gRPC: inference.ModelInferRequest and ModelInferResponse with raw contents (grpc_predict_v2.proto).

Raw contents are the elements' bytes, little-endian and in C order; an element of text is its length in four bytes and
then itself. Decoders also take contents written one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.artifact import TensorSpec

from .encoding import Message, WireError
from .protobuf import inference
from .protobuf.tensors import TEXT, checked_count, of_bytes, text_elements, text_of
from .tfs_grpc import parsed, require_equal_sizes

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

INFER_PATH = "/inference.GRPCInferenceService/ModelInfer"
#: numpy's name -> the protocol's.
DATA_TYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    TEXT: "BYTES",
    **{name: name.upper() for sign in ("int", "uint") for name in (f"{sign}8", f"{sign}16", f"{sign}32", f"{sign}64")},
}
#: Where the values of a type are, one by one; there is no field for FP16.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
_LENGTH_BYTES = 4


class KserveGrpc:
    """Tensors in the messages of GRPCInferenceService.ModelInfer."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A ModelInferRequest that names the outputs it wants."""
        request = inference.ModelInferRequest(model_name=model)
        for name, array in batch.items():
            spec = TensorSpec(name=name, dtype=TEXT if array.dtype.kind in "OSU" else array.dtype.name, shape=())
            request.raw_input_contents.append(add_tensor(request.inputs, array, spec))
        for spec in outputs:
            request.outputs.add(name=spec.name)
        return Message(body=request.SerializeToString(), path=INFER_PATH)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """The inputs of a ModelInferRequest."""
        request = parsed(inference.ModelInferRequest, body)
        return tensors_in(request.inputs, request.raw_input_contents, inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """A ModelInferResponse."""
        response = inference.ModelInferResponse(model_name=model)
        for spec in specs:
            response.raw_output_contents.append(add_tensor(response.outputs, outputs[spec.name], spec))
        return Message(body=response.SerializeToString())

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """The outputs of a ModelInferResponse."""
        response = parsed(inference.ModelInferResponse, body)
        return tensors_in(response.outputs, response.raw_output_contents, specs)


def add_tensor(tensors: Any, array: Array, spec: TensorSpec) -> bytes:
    """Describe `array` in a list of inputs or outputs and give its raw contents; WireError when the protocol has no
    such type, or `spec` another."""
    is_text = spec.dtype == TEXT and array.dtype.kind in "OSU"
    if spec.dtype not in DATA_TYPES or (array.dtype.name != spec.dtype and not is_text):
        raise WireError(f"{spec.name!r} is {array.dtype}, a KServe tensor of {spec.dtype} cannot hold that")
    tensors.add(name=spec.name, datatype=DATA_TYPES[spec.dtype], shape=array.shape)
    if not is_text:
        return array.tobytes()
    elements = text_elements(array)
    return b"".join(part for text in elements for part in (len(text).to_bytes(_LENGTH_BYTES, "little"), text))


def tensors_in(tensors: Sequence[Any], raw: Sequence[bytes], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Arrays of a message's tensors, one per spec; WireError says what does not fit."""
    names = [tensor.name for tensor in tensors]
    wanted = sorted(spec.name for spec in specs)
    if sorted(names) != wanted:
        raise WireError(f"the tensors {sorted(names)} were given, but the model has {wanted}")
    if raw and len(raw) != len(tensors):
        raise WireError(f"{len(tensors)} tensors came with {len(raw)} raw contents")
    arrays = {}
    for spec in specs:
        position = names.index(spec.name)
        tensor = tensors[position]
        if tensor.datatype != DATA_TYPES.get(spec.dtype):
            raise WireError(f"{spec.name!r} is {tensor.datatype!r}, but the model has {spec.dtype}")
        count = checked_count(spec, tensor.shape)
        flat = _of_raw(raw[position], spec, count) if raw else _of_contents(tensor, spec, count)
        arrays[spec.name] = flat.reshape(list(tensor.shape))
    require_equal_sizes(arrays, specs)
    return arrays


def _of_raw(content: bytes, spec: TensorSpec, count: int) -> Array:
    if spec.dtype != TEXT:
        return of_bytes(content, spec, count)
    if count * _LENGTH_BYTES > len(content):
        raise WireError(f"{spec.name!r} has {len(content)} bytes, too few for {count} elements")
    elements = list(_elements(content, spec))
    if len(elements) != count:
        raise WireError(f"{spec.name!r} has {len(elements)} elements, its shape needs {count}")
    return text_of(elements)


def _elements(content: bytes, spec: TensorSpec) -> Iterator[bytes]:
    position = 0
    while position < len(content):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(content[position:start], "little")
        if position > len(content):
            raise WireError(f"{spec.name!r} ends within an element")
        yield content[start:position]


def _of_contents(tensor: Any, spec: TensorSpec, count: int) -> Array:
    if tensor.datatype not in _CONTENTS:
        raise WireError(f"{spec.name!r}: {tensor.datatype} has raw contents only")
    values = getattr(tensor.contents, _CONTENTS[tensor.datatype])
    if len(values) != count:
        raise WireError(f"{spec.name!r} has {len(values)} elements, its shape needs {count}")
    if spec.dtype == TEXT:
        return text_of(values)
    array: Array = np.asarray(values, dtype=None if count else spec.dtype)
    narrowed = array.astype(spec.dtype)
    if not np.array_equal(narrowed, array, equal_nan=array.dtype.kind == "f"):
        raise WireError(f"{spec.name!r} has values that {spec.dtype} cannot hold")
    return narrowed


ENCODING = KserveGrpc()
