"""Element types on the wire: numpy's names, what other protocols call them, and arrays that can be sent as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .encoding import WireError

if TYPE_CHECKING:
    from bench.core.contracts import Array

#: Name of `TensorSpec.dtype` -> the data type's name in the Open Inference Protocol.
KSERVE_NAMES: Mapping[str, str] = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "int8": "INT8",
    "str": "BYTES",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "uint8": "UINT8",
}

#: Texts are objects in memory: arrays of fixed width lose zeros at the end, and one long text makes all others as wide.
_ELEMENT_TYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(object) if name == "str" else np.dtype(name) for name in KSERVE_NAMES
}
#: The other way round; `dtype.name` is put together anew at each call.
_NAMES: Mapping[np.dtype[Any], str] = {element: name for name, element in _ELEMENT_TYPES.items()}


def element_type(name: str) -> np.dtype[Any]:
    """The type in numpy of a `TensorSpec.dtype`; WireError when it cannot be sent."""
    found = _ELEMENT_TYPES.get(name)
    if found is None:
        raise WireError(f"element type {name[:40]!r} cannot be sent, only {', '.join(_ELEMENT_TYPES)}")
    return found


def wire_name(array: Array) -> str:
    """The `TensorSpec.dtype` of an array; WireError when it cannot be sent."""
    name = _NAMES.get(array.dtype)
    if name is None:
        name = "str" if array.dtype.kind in "SU" else array.dtype.name  # of a fixed width, or in another byte order
        if name not in _ELEMENT_TYPES:
            raise WireError(f"element type {name!r} cannot be sent, only {', '.join(_ELEMENT_TYPES)}")
    return name


def plain(array: Array) -> Array:
    """The same values in this machine's byte order and in C order, itself where it already is so."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
