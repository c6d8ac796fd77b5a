"""tensorflow.TensorProto from and to arrays, as TensorFlow reads and writes it (tensor.proto, tensor.cc).

Text is an array of `str` objects; elements that are not UTF-8, as serialized messages are, stay `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.serving import MAX_BODY_BYTES
from bench.wire.encoding import WireError

from . import tensorflow

if TYPE_CHECKING:
    from bench.core.artifact import TensorSpec
    from bench.core.contracts import Array

_TYPES = tensorflow.DataType
TEXT = "str"
_REFERENCE_BYTES = 8
#: numpy's name -> DataType.
DATA_TYPES = {
    "float32": _TYPES.Value("DT_FLOAT"),
    "float64": _TYPES.Value("DT_DOUBLE"),
    "float16": _TYPES.Value("DT_HALF"),
    "int8": _TYPES.Value("DT_INT8"),
    "int16": _TYPES.Value("DT_INT16"),
    "int32": _TYPES.Value("DT_INT32"),
    "int64": _TYPES.Value("DT_INT64"),
    "uint8": _TYPES.Value("DT_UINT8"),
    "uint16": _TYPES.Value("DT_UINT16"),
    "uint32": _TYPES.Value("DT_UINT32"),
    "uint64": _TYPES.Value("DT_UINT64"),
    "bool": _TYPES.Value("DT_BOOL"),
    "complex64": _TYPES.Value("DT_COMPLEX64"),
    "complex128": _TYPES.Value("DT_COMPLEX128"),
    TEXT: _TYPES.Value("DT_STRING"),
}
NUMPY_NAMES = {number: name for name, number in DATA_TYPES.items()}

#: Where the values of a type are, one by one; the small integers share a field.
_VALUE_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "float16": "half_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    TEXT: "string_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}


def array_of(tensor: Any, spec: TensorSpec) -> Array:
    """The array in a TensorProto, read-only where it is a view of the message; WireError when it does not fit `spec`.

    Values given one by one may be fewer than the shape has elements: the last one is repeated, none at all are zeros.
    """
    if tensor.dtype != DATA_TYPES.get(spec.dtype):
        raise WireError(f"{spec.name!r} is {type_name(tensor.dtype)}, but the model has {spec.dtype}")
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    count = checked_count(spec, shape, is_known=not tensor.tensor_shape.unknown_rank)
    if tensor.tensor_content:
        if spec.dtype == TEXT:
            raise WireError(f"{spec.name!r} is text in tensor_content, which only TensorFlow itself reads: string_val")
        return of_bytes(tensor.tensor_content, spec, count).reshape(shape)
    return _of_values(getattr(tensor, _VALUE_FIELDS[spec.dtype]), spec, count).reshape(shape)


def type_name(number: int) -> str:
    """DT_FLOAT for 1 and so on; the number where it is none."""
    known: dict[int, str] = {value: name for name, value in _TYPES.items()}
    return known.get(number, f"data type {number}")


def checked_count(spec: TensorSpec, shape: Sequence[int], *, is_known: bool = True) -> int:
    """How many elements `shape` has; WireError when it does not fit the spec, or would fill the memory."""
    fits = is_known and len(shape) == len(spec.shape)
    if not fits or any(
        size < 0 or (isinstance(dim, int) and size != dim) for dim, size in zip(spec.shape, shape, strict=True)
    ):
        raise WireError(f"{spec.name!r} has the shape {list(shape)}, but the model has {list(spec.shape)}")
    count = math.prod(shape)
    if count * (_REFERENCE_BYTES if spec.dtype == TEXT else np.dtype(spec.dtype).itemsize) > MAX_BODY_BYTES:
        raise WireError(f"{spec.name!r} of the shape {list(shape)} would take more than {MAX_BODY_BYTES >> 20} MiB")
    return count


def of_bytes(content: bytes, spec: TensorSpec, count: int) -> Array:
    """A flat read-only view of the elements' bytes, little-endian; WireError when they are too few or too many."""
    dtype = np.dtype(spec.dtype)
    if len(content) != count * dtype.itemsize:
        raise WireError(f"{spec.name!r} has {len(content)} bytes, its shape needs {count * dtype.itemsize}")
    if dtype.kind == "b" and np.any(np.frombuffer(content, np.uint8) > 1):
        raise WireError(f"{spec.name!r} has bytes that are no truth values")
    return np.frombuffer(content, dtype)


def text_of(elements: Sequence[bytes]) -> Array:
    """A flat array of `str`, with `bytes` where an element is not UTF-8."""
    found = np.empty(len(elements), object)
    for position, element in enumerate(elements):
        try:
            found[position] = element.decode()
        except UnicodeDecodeError:
            found[position] = element
    return found


def text_elements(array: Array) -> list[bytes]:
    """The elements of an array of text, in the order of the flat array."""
    return [element if isinstance(element, bytes) else str(element).encode() for element in array.ravel()]


def fill_tensor(tensor: Any, array: Array, spec: TensorSpec, *, as_content: bool = True) -> None:
    """Write `array` into an empty TensorProto: as bytes, or value by value as TensorFlow Serving answers by default;
    WireError when its type is not that of `spec`, or has no place in a TensorProto."""
    is_text = spec.dtype == TEXT and array.dtype.kind in "OSU"
    if spec.dtype not in DATA_TYPES or (array.dtype.name != spec.dtype and not is_text):
        raise WireError(f"{spec.name!r} is {array.dtype}, a TensorProto of {spec.dtype} cannot hold that")
    tensor.dtype = DATA_TYPES[spec.dtype]
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if is_text:
        tensor.string_val.extend(text_elements(array))
    elif as_content:
        tensor.tensor_content = array.tobytes()
    else:
        getattr(tensor, _VALUE_FIELDS[spec.dtype]).extend(_values(array).tolist())


def _values(array: Array) -> Array:
    """Flat, as the value fields hold them: halves as their bits, complex numbers as pairs."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype == np.float16:
        return flat.view(np.uint16)
    return flat.view(f"f{array.itemsize // 2}") if array.dtype.kind == "c" else flat


def _of_values(values: Any, spec: TensorSpec, count: int) -> Array:
    if spec.dtype == TEXT:
        given = text_of(values)
    else:
        given = _narrowed(np.asarray(values), spec) if len(values) else np.zeros(1, spec.dtype)
    if not len(given):
        given = text_of([b""])
    if len(given) > max(count, 1):
        raise WireError(f"{spec.name!r} has {len(given)} values, its shape only {count}")
    if len(given) == count:
        return given
    filled = np.full(count, given[-1], given.dtype)
    filled[: min(len(given), count)] = given[:count]
    return filled


def _narrowed(values: Array, spec: TensorSpec) -> Array:
    """The field's numbers as the spec's type: what would not fit is the sender's mistake, not a smaller number."""
    if spec.dtype == "float16":
        return _in_range(values, np.dtype(np.uint16), spec).view(np.float16)
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "c":
        if len(values) % 2:
            raise WireError(f"{spec.name!r} has {len(values)} values, complex numbers come in pairs")
        return np.ascontiguousarray(values, f"f{dtype.itemsize // 2}").view(dtype)
    return _in_range(values, dtype, spec) if dtype.kind in "iu" else values.astype(dtype, copy=False)


def _in_range(values: Array, dtype: Any, spec: TensorSpec) -> Array:
    bounds = np.iinfo(dtype)
    if dtype.itemsize < values.itemsize and (values.min() < bounds.min or values.max() > bounds.max):
        raise WireError(f"{spec.name!r} has values that {spec.dtype} cannot hold")
    return values.astype(dtype, copy=False)
