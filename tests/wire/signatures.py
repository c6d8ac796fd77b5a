"""Models' signatures and batches for the encodings' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from bench.core.artifact import TensorSpec

if TYPE_CHECKING:
    from bench.core.contracts import Array

#: Encodings over HTTP.
HTTP = ("binary", "json", "kserve", "kserve_binary", "npy", "tfs_columns", "tfs_row")
#: Of these, the ones that write numbers as text.
TEXT = ("json", "kserve", "tfs_columns", "tfs_row")
NUMBERS = (
    "bool",
    "float16",
    "float32",
    "float64",
    "int16",
    "int32",
    "int64",
    "int8",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
)

IMAGE = (TensorSpec(name="image", dtype="float32", shape=("batch", 2, 3)),)
TWO = (
    TensorSpec(name="ids:0", dtype="int64", shape=("batch", "sequence")),
    TensorSpec(name="said", dtype="str", shape=("batch",)),
)


def texts() -> st.SearchStrategy[str]:
    """Any text that UTF-8 can hold, but the zero at the end that numpy's files lose."""
    return st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5)


def values(dtype: str, shape: tuple[int, ...], *, finite: bool) -> st.SearchStrategy[Array]:
    """Arrays of an element type and a shape."""
    if dtype == "str":
        return arrays_of.arrays(object, shape, elements=texts(), fill=st.nothing())
    element = np.dtype(dtype)
    elements = None
    if finite and element.kind == "f":
        elements = arrays_of.from_dtype(element, allow_nan=False, allow_infinity=False)
    return arrays_of.arrays(element, shape, elements=elements)


@st.composite
def signed_batches(draw: st.DrawFn, *, finite: bool) -> tuple[tuple[TensorSpec, ...], dict[str, Array]]:
    """A signature of one to three tensors whose first axis is the batch, and a batch that fits it."""
    batch = draw(st.integers(1, 3))
    specs, tensors = [], {}
    for name in draw(
        st.lists(st.sampled_from(["x", "y:0", "ein Name", "größe/0"]), min_size=1, max_size=3, unique=True)
    ):
        sizes = draw(st.lists(st.integers(1, 3), max_size=2))
        declared = [size if draw(st.booleans()) else f"{name}_dim{axis}" for axis, size in enumerate(sizes)]
        dtype = draw(st.sampled_from([*NUMBERS, "str"]))
        specs.append(TensorSpec(name=name, dtype=dtype, shape=("batch", *declared)))
        tensors[name] = draw(values(dtype, (batch, *sizes), finite=finite))
    return tuple(specs), tensors
