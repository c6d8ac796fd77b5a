"""tensorflow.TensorProto from and to arrays, as TensorFlow reads and writes it (tensor.proto, tensor.cc).

Text is an array of `str` objects; elements that are not UTF-8, as serialized messages are, stay `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.serving import MAX_BODY_BYTES
from bench.wire.dtypes import element_type, plain, wire_name
from bench.wire.encoding import WireError
from bench.wire.raw import raw_array

from . import tensorflow

if TYPE_CHECKING:
    from bench.core.artifact import TensorSpec
    from bench.core.contracts import Array

_TYPES = tensorflow.DataType
TEXT = "str"
#: numpy's name -> DataType.
DATA_TYPES = {
    "bool": _TYPES.Value("DT_BOOL"),
    "float16": _TYPES.Value("DT_HALF"),
    "float32": _TYPES.Value("DT_FLOAT"),
    "float64": _TYPES.Value("DT_DOUBLE"),
    TEXT: _TYPES.Value("DT_STRING"),
    **{
        name: _TYPES.Value(f"DT_{name.upper()}")
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
}
NUMPY_NAMES = {number: name for name, number in DATA_TYPES.items()}

#: Where the values of a type are, one by one; the small integers share a field.
_VALUE_FIELDS = {
    "bool": "bool_val",
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    TEXT: "string_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}


def array_of(tensor: Any, spec: TensorSpec) -> Array:
    """The array in a TensorProto, read-only where it is a view of the message; WireError when it is not of the spec's
    element type, or not whole. Whether its shape fits is for the caller to see.

    Values given one by one may be fewer than the shape has elements: the last one is repeated, none at all are zeros.
    """
    if tensor.dtype != DATA_TYPES.get(spec.dtype):
        raise WireError(f"{spec.name!r} is {type_name(tensor.dtype)}, the model has {spec.dtype}")
    if tensor.tensor_shape.unknown_rank:
        raise WireError(f"{spec.name!r} has no shape")
    shape = checked_shape(spec, [dim.size for dim in tensor.tensor_shape.dim])
    if not tensor.tensor_content:
        return _of_values(getattr(tensor, _VALUE_FIELDS[spec.dtype]), spec, math.prod(shape)).reshape(shape)
    if spec.dtype == TEXT:
        raise WireError(f"{spec.name!r} is text in tensor_content, which only TensorFlow itself reads: use string_val")
    return whole_array(tensor.tensor_content, spec, shape)


def type_name(number: int) -> str:
    """DT_FLOAT for 1 and so on; the number where it is none."""
    known: dict[int, str] = {value: name for name, value in _TYPES.items()}
    return known.get(number, f"data type {number}")


def checked_shape(spec: TensorSpec, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape; WireError when it is none, or would fill the memory: few bytes can announce any shape."""
    size_bytes = math.prod(shape) * element_type(spec.dtype).itemsize
    if any(size < 0 for size in shape) or size_bytes > MAX_BODY_BYTES:
        raise WireError(f"{spec.name!r} cannot have the shape {str(list(shape))[:100]}")
    return tuple(shape)


def whole_array(content: bytes, spec: TensorSpec, shape: Sequence[int]) -> Array:
    """The array whose elements are all of `content`, read-only; WireError when the shape needs more, or fewer."""
    array, end = raw_array(content, 0, spec.dtype, shape)
    if end != len(content):
        raise WireError(f"{spec.name!r} has {len(content)} bytes, the shape {list(shape)} needs {end}")
    return array


def fill_tensor(tensor: Any, array: Array, dtype: str, *, as_content: bool = True) -> None:
    """Write `array` into an empty TensorProto as a tensor of `dtype`: as bytes, or value by value as TensorFlow Serving
    answers by default; WireError when it is of another type, or of one that has no place there."""
    if wire_name(array) != dtype:
        raise WireError(f"an array of {array.dtype} is no tensor of {dtype}")
    tensor.dtype = DATA_TYPES[dtype]
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if dtype == TEXT:
        tensor.string_val.extend(text if isinstance(text, bytes) else str(text).encode() for text in array.ravel())
    elif as_content:
        tensor.tensor_content = plain(array).tobytes()
    else:
        flat = plain(array).reshape(-1)
        values = flat.view(np.uint16) if dtype == "float16" else flat
        getattr(tensor, _VALUE_FIELDS[dtype]).extend(values.tolist())


def text_of(elements: Sequence[bytes]) -> Array:
    """A flat array of `str`, with `bytes` where an element is not UTF-8."""
    found = np.empty(len(elements), object)
    for position, element in enumerate(elements):
        try:
            found[position] = element.decode()
        except UnicodeDecodeError:
            found[position] = element
    return found


def narrowed(values: Array, spec: TensorSpec) -> Array:
    """Numbers as the spec's type; what it cannot hold is the sender's mistake, not another number."""
    element = element_type(spec.dtype)
    converted = values.astype(element, copy=False)
    if element.kind in "iu" and not np.array_equal(converted, values):
        raise WireError(f"{spec.name!r} has values that {spec.dtype} cannot hold")
    return converted


def _of_values(values: Any, spec: TensorSpec, count: int) -> Array:
    if spec.dtype == TEXT:
        given = text_of(values or [b""])
    elif spec.dtype == "float16":
        bits = np.asarray(values) if values else np.zeros(1, np.int32)
        if bits.min() < 0 or bits.max() > np.iinfo(np.uint16).max:
            raise WireError(f"{spec.name!r} has values of more than 16 bits")
        given = bits.astype(np.uint16).view(np.float16)
    else:
        given = narrowed(np.asarray(values) if values else np.zeros(1, element_type(spec.dtype)), spec)
    if len(values) > count:
        raise WireError(f"{spec.name!r} has {len(values)} values, its shape only {count}")
    if len(given) == count:
        return given
    filled = np.full(count, given[-1], given.dtype)
    filled[: min(len(given), count)] = given[:count]
    return filled
