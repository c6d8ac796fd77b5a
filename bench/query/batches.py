"""Arrays and texts as the batch of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError
from bench.formats.tokenizer import TextTokenizer, takes_texts
from bench.wire import WireError
from bench.wire.dtypes import element_type
from bench.wire.signature import require_shape

from .signature import shape_text

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


def array_batch(path: Path, inputs: Sequence[TensorSpec]) -> Batch:
    """One array per input of a .npz, by name; a model with one input takes the only array whatever it is called.

    MatrixError: not such a file, a name or a shape that is not the model's, or numbers that its type cannot hold.
    """
    arrays = _read(path)
    wanted = [spec.name for spec in inputs]
    if len(inputs) == 1 and len(arrays) == 1:
        arrays = {wanted[0]: next(iter(arrays.values()))}
    if sorted(arrays) != sorted(wanted):
        known = ", ".join(f"{spec.name} {shape_text(spec)}" for spec in inputs)
        raise MatrixError(f"{path}: has {', '.join(sorted(arrays)) or 'no arrays'}", hint=f"the model takes {known}")
    sizes: dict[str, int] = {}
    batch = {}
    for spec in inputs:
        batch[spec.name] = _typed(path, arrays[spec.name], spec)
        try:
            require_shape(spec, batch[spec.name].shape, sizes)
        except WireError as error:
            raise MatrixError(f"{path}: {error}", hint=f"{spec.name} is {shape_text(spec)}") from error
    return batch


def _read(path: Path) -> dict[str, Array]:
    import numpy as np

    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:  # a .npy is no mapping
        raise MatrixError(
            f"{path}: cannot be read as .npz: {error}", hint="write it with numpy.savez(path, NAME=array)"
        ) from error


def _typed(path: Path, array: Array, spec: TensorSpec) -> Array:
    """In the model's type: floats may lose digits, integers must fit."""
    import numpy as np

    wanted = element_type(spec.dtype)
    if wanted.kind == "O":
        return array.astype(object)
    converted = array.astype(wanted) if np.can_cast(array.dtype, wanted, "same_kind") else None
    if converted is None or (wanted.kind in "iu" and not np.array_equal(converted, array)):
        raise MatrixError(
            f"{path}: {spec.name} is {array.dtype}, the model takes {spec.dtype}",
            hint=f"convert it: array.astype({spec.dtype!r})",
        )
    return converted


def text_batch(texts: Sequence[str], inputs: Sequence[TensorSpec], tokenizer: Path | None) -> Batch:
    """The texts as token ids, or as they are where the model has one input of text.

    MatrixError: the model takes no text, or token ids of a tokenizer that is not known.
    """
    import numpy as np

    if len(inputs) == 1 and inputs[0].dtype == "str" and len(inputs[0].shape) == 1:
        return {inputs[0].name: np.array(texts, dtype=object)}
    if not takes_texts(inputs):
        known = ", ".join(f"{spec.name} {shape_text(spec)}" for spec in inputs)
        raise MatrixError(f"the model takes no text: its inputs are {known}", hint="--image or --inputs")
    if tokenizer is None:
        raise MatrixError(
            "the model takes token ids, and which tokenizer makes them is not known",
            hint="--tokenizer with the path of its tokenizer.json",
        )
    try:
        return TextTokenizer(tokenizer).encode(texts, inputs)
    except ValueError as error:
        raise MatrixError(f"--text: {error}", hint="fewer or shorter texts") from error
