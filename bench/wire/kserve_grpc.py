"""KServe v2 over gRPC: inference.ModelInferRequest and ModelInferResponse with raw contents (grpc_predict_v2.proto).

Raw contents are the elements' bytes, little-endian and in C order; an element of text is its length in four bytes and
then itself. Decoders also take contents written one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.artifact import TensorSpec

from .dtypes import KSERVE_NAMES, element_type, plain, wire_name
from .encoding import Message, WireError
from .protobuf import inference
from .protobuf.tensors import TEXT, checked_shape, narrowed, whole_array
from .raw import raw_content
from .signature import answered, fitted
from .texts import as_text
from .tfs_grpc import parsed

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

INFER_PATH = "/inference.GRPCInferenceService/ModelInfer"
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


class KserveGrpc:
    """Tensors in the messages of GRPCInferenceService.ModelInfer."""

    def encode_request(self, model: str, batch: Batch, outputs: Sequence[TensorSpec]) -> Message:
        """A ModelInferRequest that names the outputs it wants."""
        request = inference.ModelInferRequest(model_name=model)
        for name, array in batch.items():
            request.raw_input_contents.append(add_tensor(request.inputs, name, array, wire_name(array)))
        for spec in outputs:
            request.outputs.add(name=spec.name)
        return Message(body=request.SerializeToString(), path=INFER_PATH)

    def decode_request(self, body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> Batch:
        """The inputs of a ModelInferRequest."""
        return inputs_in(parsed(inference.ModelInferRequest, body), inputs)

    def encode_response(self, model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Message:
        """A ModelInferResponse."""
        response = inference.ModelInferResponse(model_name=model)
        for spec in specs:
            content = add_tensor(response.outputs, spec.name, outputs[spec.name], spec.dtype)
            response.raw_output_contents.append(content)
        return Message(body=response.SerializeToString())

    def decode_response(self, body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
        """The outputs of a ModelInferResponse, of any shape."""
        response = parsed(inference.ModelInferResponse, body)
        return answered(_arrays(response.outputs, response.raw_output_contents, specs), specs)


def add_tensor(tensors: Any, name: str, array: Array, dtype: str) -> bytes:
    """Describe `array` in a list of inputs or outputs as a tensor of `dtype`, and give its raw contents; WireError when
    it is of another type, or of one that the protocol does not have."""
    if wire_name(array) != dtype:
        raise WireError(f"{name!r} is an array of {array.dtype}, no tensor of {dtype}")
    tensors.add(name=name, datatype=KSERVE_NAMES[dtype], shape=array.shape)
    return bytes(raw_content(plain(array)))


def inputs_in(request: Any, specs: Sequence[TensorSpec]) -> Batch:
    """The inputs of a ModelInferRequest; WireError when they do not fit."""
    names = [tensor.name for tensor in request.inputs]
    if len(set(names)) < len(names):
        raise WireError("an input is given twice")
    known = {spec.name for spec in specs}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise WireError(f"{unknown[:100]!r} is no input of the model; it has {', '.join(sorted(known))}")
    return fitted(_arrays(request.inputs, request.raw_input_contents, specs), specs)


def _arrays(tensors: Sequence[Any], raw: Sequence[bytes], specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The tensors that have a spec, of any shape."""
    if raw and len(raw) != len(tensors):
        raise WireError(f"{len(tensors)} tensors came with {len(raw)} raw contents")
    known = {spec.name: spec for spec in specs}
    arrays = {}
    for position, tensor in enumerate(tensors):
        spec = known.get(tensor.name)
        if spec is None:
            continue
        if tensor.datatype != KSERVE_NAMES.get(spec.dtype):
            raise WireError(f"{spec.name!r} is {tensor.datatype[:40]!r}, the model has {spec.dtype}")
        shape = checked_shape(spec, tensor.shape)
        arrays[spec.name] = whole_array(raw[position], spec, shape) if raw else _of_contents(tensor, spec, shape)
    return arrays


def _of_contents(tensor: Any, spec: TensorSpec, shape: Sequence[int]) -> Array:
    if tensor.datatype not in _CONTENTS:
        raise WireError(f"{spec.name!r}: {tensor.datatype} has raw contents only")
    values = getattr(tensor.contents, _CONTENTS[tensor.datatype])
    if len(values) != math.prod(shape):
        raise WireError(f"{spec.name!r} has {len(values)} elements, the shape {list(shape)} needs {math.prod(shape)}")
    if spec.dtype == TEXT:
        texts = np.empty(len(values), object)
        texts[:] = [as_text(text) for text in values]
        return texts.reshape(shape)
    return narrowed(np.asarray(values, None if values else element_type(spec.dtype)), spec).reshape(shape)


ENCODING = KserveGrpc()
