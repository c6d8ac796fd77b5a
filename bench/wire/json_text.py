"""Arrays as JSON text.

JSON has no NaN and no infinity. TensorFlow Serving and Triton read and write the bare words NaN, Infinity and -Infinity
instead, as Python's own json does, and so do the encodings that speak as they do; a strict parser refuses these. Plain
JSON of our own is always JSON: what it cannot say is an error that names the output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from bench.core.artifact import TensorSpec

from .dtypes import element_type, plain, wire_name
from .encoding import WireError
from .texts import as_text

if TYPE_CHECKING:
    from bench.core.contracts import Array


def json_text(document: Mapping[str, Any], arrays: Sequence[Array]) -> bytes:
    """The text of `document`, in which `arrays` are; with bare literals where one of these is not finite."""
    if all(map(is_finite, arrays)):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_listed, ensure_ascii=False, separators=(",", ":")).encode()


def _listed(array: Any) -> Any:
    return array.tolist()


def is_finite(array: Array) -> bool:
    """Whether JSON has a word for every element."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def jsonable(array: Array) -> Any:
    """What stands in a document for an array: itself, nested lists of texts, or a bare scalar."""
    if wire_name(array) == "str":
        texts = np.empty(array.size, dtype=object)
        texts[:] = [as_text(text) for text in array.ravel().tolist()]
        return texts.reshape(array.shape).tolist()
    return plain(array) if array.ndim else array.item()


def parsed(text: bytes | memoryview) -> Any:
    """Any JSON value, bare literals included; for answers, whose shapes a signature need not know."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(bytes(text))
        except (ValueError, RecursionError):
            raise WireError(f"the answer is not JSON: {error}") from error


def answered_array(value: Any, spec: TensorSpec) -> Array:
    """The array of an answer's nested lists, of whatever shape, in the declared element type."""
    element = element_type(spec.dtype)
    try:
        if element.kind in "fb":
            array = np.array(value)
            is_right = array.size == 0 or array.dtype.kind in {"f": "iuf", "b": "b"}[element.kind]
        else:  # numpy would make floats of large integers, and truth values of none
            array = np.array(value, dtype=object)
            is_right = set(map(type, array.ravel().tolist())) <= {str if element.kind == "O" else int}
        if is_right:
            with np.errstate(over="ignore"):
                array = array.astype(element)
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError(f"output {spec.name!r} is no array of {spec.dtype}: {error}") from error
    if not is_right:
        raise WireError(f"output {spec.name!r} is no array of {spec.dtype}")
    if array.shape == (0,) and len(spec.shape) > 1:  # how deep an empty list would be cannot be seen
        return array.reshape(0, *(0 if isinstance(size, str) else size for size in spec.shape[1:]))
    return array
