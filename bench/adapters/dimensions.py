"""Names for the dynamic dimensions of a signature that was read from a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

BATCH = "batch"

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs of a model."""

#: Symbols that an exporter made up: tf2onnx's and PyTorch's.
_MADE_UP = re.compile(r"unk__\d+|s\d+|u\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileTensor:
    """A tensor as the file describes it: each axis a size, the file's symbol, or None; no shape, no known rank."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    native: str = ""


def named(inputs: Sequence[FileTensor], outputs: Sequence[FileTensor]) -> Signature:
    """The signature with every dynamic dimension named.

    A dynamic first axis is "batch", unless the file calls another axis so; a symbol that a person chose is kept; any
    other dynamic axis is `<tensor>_dim<axis>`, after the tensor where it comes first. An output whose rank is not
    known has the one dimension `<output>_dims`. TargetError for an input whose rank is not known.
    """
    for tensor in inputs:
        if tensor.shape is None:
            raise TargetError(
                f"input {tensor.name!r} has no known number of dimensions", hint="export the model with input shapes"
            )
    names = _names_of_symbols(inputs)
    has_batch = any(_name(tensor, 0, names, has_batch=True) == BATCH for tensor in inputs if tensor.shape)
    return (
        tuple(_spec(tensor, names, has_batch=True) for tensor in inputs),
        tuple(_spec(tensor, names, has_batch=has_batch) for tensor in outputs),
    )


def _names_of_symbols(inputs: Sequence[FileTensor]) -> dict[str, str]:
    """Symbol of the file -> dimension name."""
    names: dict[str, str] = {}
    places = [(tensor, axis, dim) for tensor in inputs for axis, dim in enumerate(tensor.shape or ())]
    batch_is_elsewhere = any(axis > 0 and dim == BATCH for _, axis, dim in places)
    for tensor, axis, dim in places:
        if not isinstance(dim, str) or dim in names:
            continue
        is_made_up = bool(_MADE_UP.fullmatch(dim))
        if axis == 0 and not batch_is_elsewhere and (is_made_up or BATCH not in names.values()):
            names[dim] = BATCH
        else:
            names[dim] = f"{tensor.name}_dim{axis}" if is_made_up else dim
    return names


def _name(tensor: FileTensor, axis: int, names: dict[str, str], *, has_batch: bool) -> int | str:
    dim = (tensor.shape or ())[axis]
    if isinstance(dim, int):
        return dim
    if dim is not None and dim in names:
        return names[dim]
    if dim is not None and not _MADE_UP.fullmatch(dim):
        return dim
    return BATCH if axis == 0 and has_batch else f"{tensor.name}_dim{axis}"


def _spec(tensor: FileTensor, names: dict[str, str], *, has_batch: bool) -> TensorSpec:
    if tensor.shape is None:
        shape: tuple[int | str, ...] = (f"{tensor.name}_dims",)
    else:
        shape = tuple(_name(tensor, axis, names, has_batch=has_batch) for axis in range(len(tensor.shape)))
    return TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=shape, native=tensor.native)
