"""The types that JSON requests must have, made from a model's signature, so that nothing else is ever built of them.

A body is decoded straight into these: what is nested too deeply, of another type, longer or shorter than a fixed
dimension stops the decoder where it stands, and no body can take more memory than the tensors it holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from bench.core.artifact import TensorSpec

from .dtypes import element_type
from .encoding import WireError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

Shape = tuple[int | str, ...]

_LITERALS = Literal["NaN", "Infinity", "-Infinity"]
_BARE_LITERAL = re.compile(rb"(?<=[\[:,\s])(NaN|-?Infinity)(?=[\],}\s])")

_ESCAPED = re.compile(r'["\\\x00-\x1f]')


class Typed:
    """A JSON text's decoder for one type, given twice: as JSON is, and with names where a number is not finite."""

    def __init__(self, strict: Any, lenient: Any) -> None:
        self._strict = msgspec.json.Decoder(strict)
        self._lenient = msgspec.json.Decoder(lenient)

    def decode(self, text: bytes | memoryview, *, literals: bool) -> Any:
        """The value, with "NaN", "Infinity" and "-Infinity" among its floats where bare literals are allowed.

        WireError tells what is wrong and where.
        """
        try:
            return self._strict.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            quoted = quote_literals(text) if literals else None
            if quoted is None:
                raise WireError(f"the JSON does not fit the model: {error}") from error
        try:
            return self._lenient.decode(quoted)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"the JSON does not fit the model: {error}") from error


def quote_literals(text: bytes | memoryview) -> bytes | None:
    """JSON with a bare NaN, Infinity and -Infinity each made a text; None when there is none."""
    content = bytes(text)
    if b"NaN" not in content and b"Infinity" not in content:
        return None
    return _BARE_LITERAL.sub(rb'"\1"', content)


def tensor_type(dtype: str, shape: Shape, *, lenient: bool = False) -> Any:
    """Lists as deep as `shape` is long, of the one element type; a size in it is kept to, a name is any size."""
    kind: Any = {"b": bool, "i": int, "u": int, "f": float, "O": str}[element_type(dtype).kind]
    if lenient and kind is float:
        kind = float | _LITERALS
    for dimension in reversed(shape):
        kind = list[kind]
        if not isinstance(dimension, str):
            kind = Annotated[kind, Meta(min_length=dimension, max_length=dimension)]
    return kind


@lru_cache(maxsize=64)
def tensor_decoder(dtype: str, shape: Shape) -> Typed:
    """For one tensor's nested lists."""
    return Typed(tensor_type(dtype, shape), tensor_type(dtype, shape, lenient=True))


def object_type(specs: Sequence[TensorSpec], shapes: Sequence[Shape], *, lenient: bool = False) -> type[Any]:
    """An object with one member for each tensor and no other; `members` gives its values.

    WireError for a name with characters that JSON escapes: the decoder compares names as they are written.
    """
    for spec in specs:
        if _ESCAPED.search(spec.name):
            raise WireError(f"the model's {spec.name!r} cannot be a name in JSON; send it in another encoding")
    fields: list[tuple[str, Any, Any]] = [
        (f"t{position}", tensor_type(spec.dtype, shape, lenient=lenient), msgspec.field(name=spec.name))
        for position, (spec, shape) in enumerate(zip(specs, shapes, strict=True))
    ]
    return msgspec.defstruct("Tensors", fields, forbid_unknown_fields=True)


def members(value: Any) -> tuple[Any, ...]:
    """Nested lists in the order of the signature."""
    return tuple(getattr(value, name) for name in value.__struct_fields__)


def batch_of(values: Sequence[Any], specs: Sequence[TensorSpec]) -> Batch:
    """Arrays of nested lists."""
    return {
        spec.name: array_of(value, spec.dtype, spec.shape, spec.name) for value, spec in zip(values, specs, strict=True)
    }


def array_of(value: Any, dtype: str, declared: Shape, name: str) -> Array:
    """The array of nested lists; WireError when they are ragged or hold what `dtype` cannot.

    Where a dimension is declared, the decoder has counted. Flattened by hand: numpy would look at every list three
    times.
    """
    if not declared:
        return _elements([value], 1, dtype, name).reshape(())
    shape = [len(value)]
    level: Iterable[Any] = value
    for dimension in declared[1:]:
        if isinstance(dimension, str):
            level = list(level)
            shape.append(_common_length(level, name))
        else:
            shape.append(dimension)
        level = chain.from_iterable(level)
    return _elements(level, math.prod(shape), dtype, name).reshape(shape)


def _common_length(lists: Sequence[Any], name: str) -> int:
    lengths = set(map(len, lists))
    if len(lengths) > 1:
        raise WireError(f"input {name!r} is ragged: lists of {min(lengths)} and of {max(lengths)} side by side")
    return lengths.pop() if lengths else 0


def array_of_flat(values: Sequence[Any], dtype: str, name: str) -> Array:
    """The array of one list; WireError when it holds what `dtype` cannot."""
    return _elements(values, len(values), dtype, name)


def _elements(values: Iterable[Any], count: int, dtype: str, name: str) -> Array:
    """One axis of numbers, truth values or texts."""
    try:
        with np.errstate(over="raise"):
            return np.fromiter(values, element_type(dtype), count)  # reads "NaN" and "Infinity" as floats
    except (OverflowError, FloatingPointError) as error:
        raise WireError(f"input {name!r} holds a number that {dtype} cannot") from error
