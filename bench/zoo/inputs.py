"""Pools of input batches: valid ones for any signature, the user's own, and how a pool is stored and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import TensorSpec
from bench.core.cell import Dimension
from bench.core.errors import MatrixError

from .user_inputs import user_inputs

if TYPE_CHECKING:
    import numpy as np

    from bench.core.contracts import Array, Batch

__all__ = [
    "draw_sizes",
    "examples_generator",
    "pool_digest",
    "read_pool",
    "synthetic_inputs",
    "user_inputs",
    "write_pool",
]

_UNKNOWN_VOCABULARY = 100  # almost every embedding table is larger
_SMALLEST_FLOAT = 1e-3  # nearer to zero is a denormal in float16, which some kernels treat a hundred times slower
_SMALLEST_IMAGE = 8  # [1, 3, 4, 4] is hardly a picture
_OWN_INPUTS = "give your own samples: inputs: samples.npz"
_EXAMPLES_STREAM = 1


def synthetic_inputs(
    specs: Sequence[TensorSpec],
    *,
    count: int,
    batch: int,
    dimensions: Sequence[Dimension],
    seed: int,
    vocabulary: int | None = None,
) -> list[Batch]:
    """`count` batches that fit the signature, equal for equal arguments and drawn apart from each other.

    Integers are ids in 1 .. `vocabulary` - 1, masks ones, token types zeros, positions count up, pictures have natural
    statistics in 0..1, other floats are normal without NaN and denormals. MatrixError names a dynamic dimension without
    a value, a batch size that the model does not take, or a dtype that cannot be made up.
    """
    import numpy as np

    batches: list[Batch] = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        sizes = {"batch": batch, **draw_sizes(dimensions, rng)}
        batches.append({spec.name: _values(spec, _sized(spec, sizes, batch), rng, vocabulary) for spec in specs})
    return batches


def examples_generator() -> np.random.Generator:
    """The source of randomness for examples: a stream of its own, whatever seed the inputs are drawn with."""
    import numpy as np

    # A seed of several numbers would not do: numpy fills them up with zeros, and [1] is the stream of [1, 0].
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(_EXAMPLES_STREAM,)))


def draw_sizes(dimensions: Sequence[Dimension], rng: np.random.Generator) -> dict[str, int]:
    """One size for each dimension, drawn in the order of their names so that the order in the file does not matter."""
    sizes: dict[str, int] = {}
    for dimension in sorted(dimensions, key=lambda item: item.name):
        if dimension.kind == "uniform":
            low, high = dimension.values
            sizes[dimension.name] = int(rng.integers(low, high, endpoint=True))
        elif dimension.kind == "choice":
            sizes[dimension.name] = int(rng.choice(dimension.values))
        else:
            sizes[dimension.name] = dimension.values[0]
    return sizes


def _sized(spec: TensorSpec, sizes: Mapping[str, int], batch: int) -> tuple[int, ...]:
    shape: list[int] = []
    for axis, size in enumerate(spec.shape):
        if isinstance(size, int):
            shape.append(size)
        elif size in sizes:
            shape.append(sizes[size])
        elif axis == 0:  # whatever the file calls it, the first axis is the batch
            shape.append(batch)
        else:
            raise MatrixError(
                f"input {spec.name!r} {_shape_text(spec)} has the dynamic dimension {size!r}, which has no value",
                hint=f"dimensions: {{{size}: 32}}",
            )
    if shape and batch not in (1, shape[0]) and "batch" not in spec.shape:
        raise MatrixError(
            f"input {spec.name!r} {_shape_text(spec)} is fixed to a batch of {shape[0]}, the matrix asks for {batch}",
            hint=f"batch: {shape[0]}, or export the model with a dynamic batch",
        )
    return tuple(shape)


def _shape_text(spec: TensorSpec) -> str:
    return f"{spec.dtype}[{', '.join(map(str, spec.shape))}]"


def _values(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, vocabulary: int | None) -> Array:
    import numpy as np

    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise MatrixError(f"input {spec.name!r} has dtype {spec.dtype}, which cannot be made up", hint=_OWN_INPUTS)
    name = spec.name.lower()
    if "mask" in name:
        return np.ones(shape, dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    image = _image(shape, rng)
    if dtype.kind == "f":
        return _floats(shape, rng).astype(dtype) if image is None else image.astype(dtype)
    if image is not None and dtype == np.uint8:
        return np.round(image * 255).astype(dtype)
    rows = min(vocabulary or _UNKNOWN_VOCABULARY, int(np.iinfo(dtype).max))
    return _integers(name, shape, rng, rows).astype(dtype)


def _integers(name: str, shape: tuple[int, ...], rng: np.random.Generator, rows: int) -> Array:
    import numpy as np

    if "token_type" in name or "segment" in name:
        return np.zeros(shape, np.int64)
    if "position" in name and shape:
        return np.broadcast_to(np.arange(shape[-1]), shape)
    return rng.integers(min(1, rows - 1), rows, size=shape)  # 0 is often the padding


def _floats(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    import numpy as np

    values = rng.normal(size=shape)
    return np.where(np.abs(values) < _SMALLEST_FLOAT, _SMALLEST_FLOAT, values)


def _image(shape: tuple[int, ...], rng: np.random.Generator) -> Array | None:
    """A batch of pictures in the layout of `shape`, None where it is not that of pictures."""
    from .images import natural_images

    if len(shape) != 4:
        return None
    count, *rest = shape
    for height, width, channels, moved in ((*rest, False), (*rest[1:], rest[0], True)):
        if channels in (1, 3) and min(height, width) >= _SMALLEST_IMAGE:
            images = natural_images(rng, count, height, width, channels)
            return images.transpose(0, 3, 1, 2) if moved else images
    return None


def pool_digest(batches: Sequence[Batch]) -> str:
    """Hex sha256 over the names, dtypes, shapes and bytes of all batches in order."""
    import numpy as np

    hasher = hashlib.sha256()
    for index, batch in enumerate(batches):
        for name in sorted(batch):
            values = np.ascontiguousarray(batch[name])
            hasher.update(f"{index}:{len(name)}:{name}:{values.dtype.str}:{batch[name].shape}\n".encode())
            hasher.update(values.tobytes())
    return hasher.hexdigest()


def write_pool(path: Path, batches: Sequence[Batch]) -> None:
    """Write the batches as an .npz file with keys `<index>/<name>`."""
    import numpy as np

    arrays = {f"{index}/{name}": values for index, batch in enumerate(batches) for name, values in batch.items()}
    with open(path, "wb") as stream:  # by path, numpy would append .npz to the name
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stub takes one of our keys for allow_pickle


def read_pool(path: Path) -> list[Batch]:
    """The batches of `write_pool`, in order."""
    import numpy as np

    batches: dict[int, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            index, _, name = key.partition("/")
            batches.setdefault(int(index), {})[name] = stored[key]
    return [batches[index] for index in sorted(batches)]
