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
    try:
        found = np.array(value, dtype=object if spec.dtype == "str" else None)
    except (ValueError, TypeError, OverflowError) as error:
        raise WireError(f"output {spec.name!r} is no array: {error}") from error
    element = element_type(spec.dtype)
    allowed = {"f": "iuf", "i": "iu", "u": "iu", "b": "b", "O": "O"}[element.kind]
    if found.size and found.dtype.kind not in allowed:
        raise WireError(f"output {spec.name!r} is not of {spec.dtype}")
    if element.kind == "O" and not all(isinstance(text, str) for text in found.ravel().tolist()):
        raise WireError(f"output {spec.name!r} is not of {spec.dtype}")
    if element.kind in "iu" and found.size and not _holds(element, found):
        raise WireError(f"output {spec.name!r} holds a number that {spec.dtype} cannot")
    if found.shape == (0,) and len(spec.shape) > 1:  # how deep an empty list would be cannot be seen
        found = found.reshape(0, *(0 if isinstance(size, str) else size for size in spec.shape[1:]))
    with np.errstate(over="ignore"):
        return found.astype(element)


def _holds(element: np.dtype[Any], found: Array) -> bool:
    known = np.iinfo(element)
    return known.min <= int(found.min()) and int(found.max()) <= known.max
