"""Arrays over the bytes of a message, without a copy where the bytes lie well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .dtypes import element_type
from .encoding import WireError
from .texts import pack_texts, unpack_texts

if TYPE_CHECKING:
    from bench.core.contracts import Array


def raw_content(array: Array) -> bytes | memoryview:
    """The elements of a plain array in C order, as they lie in memory, or packed texts."""
    return pack_texts(array) if array.dtype.kind in "OSU" else array.data


def raw_array(content: bytes | memoryview, offset: int, dtype: str, shape: Sequence[int]) -> tuple[Array, int]:
    """The array that begins at `offset`, read-only, and where it ends; WireError when the content ends before."""
    count = math.prod(shape)
    if dtype == "str":
        flat, end = unpack_texts(content, offset, count)
    else:
        element = element_type(dtype)
        end = offset + count * element.itemsize
        if end > len(content):
            raise WireError(
                f"{dtype} {list(shape)} needs {end - offset} bytes, {max(len(content) - offset, 0)} are left"
            )
        flat = np.frombuffer(content, element, count, offset) if count else np.empty(0, element)
        if not flat.flags.aligned:  # runtimes read whole vectors at once
            flat = flat.copy()
        if dtype == "bool" and count and flat.view(np.uint8).max() > 1:
            raise WireError("a truth value is a byte of 0 or 1")
    try:
        return flat.reshape(shape), end
    except ValueError as error:
        raise WireError(f"no array can have the shape {str(list(shape))[:100]}") from error
