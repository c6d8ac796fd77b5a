"""The Open Inference Protocol (KServe v2) over HTTP, with the extension of binary tensor data.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for what follows the JSON as
bytes, https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md. One message
may hold both kinds of tensors. Bare NaN and Infinity are read and written, as Triton does (`bench.wire.json_text`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta

from bench.core.artifact import TensorSpec

from .dtypes import KSERVE_NAMES, plain, wire_name
from .encoding import Message, WireError
from .json_text import json_text, jsonable
from .json_types import Shape, Typed, array_of, array_of_flat, tensor_decoder
from .raw import raw_array, raw_content
from .signature import answered, fitted, require_names, require_shape

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

#: Where the JSON ends and the bytes begin.
LENGTH_HEADER = "inference-header-content-length"
VERSION = "1"

_JSON_HEADERS = (("content-type", "application/json"),)
_ALIGNMENT = 16
_NESTED = re.compile(rb"\s*\[\s*\[")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """How a request wants to be answered: its id, the outputs in its order, each as bytes or not; all when it names
    none, as `binary` says."""

    id: str = ""
    outputs: tuple[tuple[str, bool], ...] = ()
    binary: bool = False


class _TensorParameters(msgspec.Struct):
    binary_data_size: Annotated[int, Meta(ge=0)] | None = None


class _Tensor(msgspec.Struct):
    name: str
    shape: tuple[Annotated[int, Meta(ge=0)], ...]
    datatype: str
    parameters: _TensorParameters | None = None
    data: msgspec.Raw = msgspec.Raw()  # empty where there is none


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: int = 0


class _WantedOutput(msgspec.Struct):
    name: str
    parameters: _OutputParameters | None = None


class _RequestParameters(msgspec.Struct):
    binary_data_output: bool = False


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_WantedOutput] = []
    parameters: _RequestParameters | None = None


class _Answer(msgspec.Struct):
    outputs: list[_Tensor]


_REQUEST = Typed(_Request, _Request)
_ANSWER = Typed(_Answer, _Answer)


def inference_path(model: str) -> str:
    """Where inference is asked of a model."""
    return f"/v2/models/{quote(model, safe='')}/infer"


def decode_inference(body: bytes, headers: Mapping[str, str], inputs: Sequence[TensorSpec]) -> tuple[Batch, Wish]:
    """The batch of a request, and how to answer it."""
    text, offset = _parted(body, headers)
    request: _Request = _REQUEST.decode(text, literals=True)
    return fitted(_inputs(request.inputs, inputs, body, offset), inputs), _wish(request)


def encode_inference(model: str, batch: Batch, *, binary: bool) -> Message:
    """The request for all outputs, with its inputs and its answer as bytes or as JSON."""
    wish = {"parameters": {"binary_data_output": True}} if binary else {}
    headers, body = _joined(wish, "inputs", [(name, array, binary) for name, array in batch.items()])
    return Message(body=body, path=inference_path(model), headers=headers)


def require_outputs(wish: Wish, specs: Sequence[TensorSpec]) -> None:
    """WireError when a request wants an output that the model does not have."""
    known = [spec.name for spec in specs]
    for name, _ in wish.outputs:
        if name not in known:
            raise WireError(f"{name[:100]!r} is no output of the model; it has {', '.join(known)}")


def encode_answer(model: str, outputs: Mapping[str, Array], specs: Sequence[TensorSpec], wish: Wish) -> Message:
    """The answer that was wished for (see `require_outputs`)."""
    wanted = wish.outputs or tuple((spec.name, wish.binary) for spec in specs)
    head = {"model_name": model, "model_version": VERSION}
    if wish.id:
        head["id"] = wish.id
    headers, body = _joined(head, "outputs", [(name, outputs[name], binary) for name, binary in wanted])
    return Message(body=body, headers=headers)


def decode_answer(body: bytes, headers: Mapping[str, str], specs: Sequence[TensorSpec]) -> Batch:
    """Outputs as JSON or bytes, whichever came."""
    text, offset = _parted(body, headers)
    answer: _Answer = _ANSWER.decode(text, literals=True)
    known = {spec.name: spec for spec in specs}
    found = {}
    for tensor in answer.outputs:
        if tensor.name in known:
            spec = known[tensor.name]
            found[tensor.name], offset = _array(tensor, spec.dtype, ("",) * len(tensor.shape), body, offset)
        elif tensor.parameters is not None:
            offset += tensor.parameters.binary_data_size or 0
    return answered(found, specs)


def _wish(request: _Request) -> Wish:
    parameters = request.parameters
    binary = parameters is not None and parameters.binary_data_output
    wanted = []
    for output in request.outputs:
        options = output.parameters or _OutputParameters()
        if options.classification:
            raise WireError(f"output {output.name[:100]!r}: classification is not served")
        wanted.append((output.name, binary if options.binary_data is None else options.binary_data))
    return Wish(id=request.id, outputs=tuple(wanted), binary=binary)


def _parted(body: bytes, headers: Mapping[str, str]) -> tuple[bytes | memoryview, int]:
    """The JSON of a message, and where what follows it begins."""
    length = headers.get(LENGTH_HEADER)
    if length is None:
        return body, len(body)
    if not (length.isascii() and length.isdigit() and len(length) < 12) or int(length) > len(body):
        raise WireError(f"{LENGTH_HEADER} is {length[:40]!r} of a body of {len(body)} bytes")
    return memoryview(body)[: int(length)], int(length)


def _inputs(tensors: Sequence[_Tensor], specs: Sequence[TensorSpec], body: bytes, offset: int) -> dict[str, Array]:
    require_names([tensor.name for tensor in tensors], specs)
    known = {spec.name: spec for spec in specs}
    sizes: dict[str, int] = {}
    found = {}
    for tensor in tensors:
        spec = known[tensor.name]
        require_shape(spec, tensor.shape, sizes)
        found[tensor.name], offset = _array(tensor, spec.dtype, spec.shape, body, offset)
    if offset != len(body):
        raise WireError(f"{len(body) - offset} bytes are left after the last tensor")
    return found


def _array(tensor: _Tensor, dtype: str, declared: Shape, body: bytes, offset: int) -> tuple[Array, int]:
    if tensor.datatype != KSERVE_NAMES.get(dtype):
        raise WireError(f"{tensor.name!r} is {tensor.datatype[:20]!r}, the model has {KSERVE_NAMES.get(dtype, dtype)}")
    size = tensor.parameters.binary_data_size if tensor.parameters is not None else None
    if size is None:
        return _array_of_json(tensor, dtype, declared), offset
    end = offset + size
    if end > len(body):
        raise WireError(f"{tensor.name!r} has {size} bytes, {len(body) - offset} are left")
    array, reached = raw_array(memoryview(body)[:end], offset, dtype, tensor.shape)
    if reached != end:
        raise WireError(f"{tensor.name!r} has {size} bytes, its shape and type need {reached - offset}")
    return array, end


def _array_of_json(tensor: _Tensor, dtype: str, declared: Shape) -> Array:
    """`data` is one list in C order, or lists nested as the shape is."""
    text = memoryview(tensor.data)
    if not text:
        raise WireError(f"{tensor.name!r} has neither data nor a binary_data_size")
    if len(declared) > 1 and _NESTED.match(text):
        value = tensor_decoder(dtype, declared).decode(text, literals=True)
        array = array_of(value, dtype, declared, tensor.name)
        if array.shape != tensor.shape:
            raise WireError(f"{tensor.name!r} is said to be {list(tensor.shape)}, its data are {list(array.shape)}")
        return array
    flat = tensor_decoder(dtype, ("",)).decode(text, literals=True)
    if len(flat) != math.prod(tensor.shape):
        raise WireError(f"{tensor.name!r} has {len(flat)} elements, which is not its shape {list(tensor.shape)}")
    return array_of_flat(flat, dtype, tensor.name).reshape(tensor.shape)


def _joined(
    head: Mapping[str, Any], key: str, tensors: Sequence[tuple[str, Array, bool]]
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Headers and body of a message; spaces after the JSON let the first tensor begin at a multiple of 16."""
    listed: list[dict[str, Any]] = []
    arrays: list[Array] = []
    pieces: list[bytes | memoryview] = []
    for name, given, binary in tensors:
        array = plain(given)
        tensor: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": KSERVE_NAMES[wire_name(array)]}
        if binary:
            content = raw_content(array)
            size = content.nbytes if isinstance(content, memoryview) else len(content)
            tensor["parameters"] = {"binary_data_size": size}
            pieces.append(content)
        else:
            flat = array.ravel()
            tensor["data"] = jsonable(flat)
            arrays.append(flat)
        listed.append(tensor)
    text = json_text({**head, key: listed}, arrays)
    if not pieces:
        return _JSON_HEADERS, text
    text += b" " * (-len(text) % _ALIGNMENT)
    headers = (("content-type", "application/octet-stream"), (LENGTH_HEADER, str(len(text))))
    return headers, b"".join((text, *pieces))
