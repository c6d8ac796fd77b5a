"""Tiny valid inputs for tracing a model, and the check that a made model answers them soundly.

Not for measuring and not for judging fidelity: that takes real inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError, StepFailed

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, Examples

#: Tracing fixes sizes 0 and 1 for good, so a dynamic dimension is traced with at least two.
TRACE_BATCH = 2
_TRACE_SIZE = 32  # of a named dimension that is not the batch: enough for most networks, below most length limits
_SIZE_STEP = 8  # two dimensions of different names never get the same size, or tracing could take them for one


def trace_batch(inputs: Sequence[TensorSpec], examples: Examples | None) -> dict[str, Array]:
    """One batch in which every named dimension is at least two; made from real samples where there are any."""
    if examples is not None:
        return _resized(inputs, examples.inputs, TRACE_BATCH)
    return _made_up(inputs, batch=TRACE_BATCH, size=_TRACE_SIZE)


def check_batches(inputs: Sequence[TensorSpec], examples: Examples | None) -> list[dict[str, Array]]:
    """Batches of one and of three samples: other sizes than `trace_batch`, so that a size fixed by tracing shows."""
    if examples is not None:
        return [_resized(inputs, examples.inputs, batch) for batch in (1, 3)]
    return [_made_up(inputs, batch=1, size=_TRACE_SIZE), _made_up(inputs, batch=3, size=_TRACE_SIZE + 2 * _SIZE_STEP)]


def batches_of(examples: Examples, inputs: Sequence[TensorSpec], *, size: int, count: int) -> list[dict[str, Array]]:
    """At most `count` batches of `size` distinct samples, fewer where there are not enough; a fixed first axis in the
    signature decides over `size`. MatrixError when the examples lack an input."""
    import numpy as np

    _require_inputs(inputs, examples.inputs)
    fixed = next((spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], int)), None)
    size = fixed or size
    total = len(next(iter(examples.inputs.values())))
    starts = range(0, total - size + 1, size)[:count]
    return [
        {name: np.ascontiguousarray(values[start : start + size]) for name, values in examples.inputs.items()}
        for start in starts
    ]


def _require_inputs(inputs: Sequence[TensorSpec], batch: Batch) -> None:
    missing = [spec.name for spec in inputs if spec.name not in batch]
    if missing:
        raise MatrixError(
            f"the examples have no input {', '.join(map(repr, missing))}; they have {', '.join(map(repr, batch))}",
            hint="give the examples an array for each input of the model, by its name",
        )


def _resized(inputs: Sequence[TensorSpec], batch: Batch, size: int) -> dict[str, Array]:
    """`batch` repeated or cut to `size` samples, or to those of a fixed first axis; other named dimensions of size one
    are doubled."""
    import numpy as np

    _require_inputs(inputs, batch)
    resized: dict[str, Array] = {}
    for spec in inputs:
        array = np.asarray(batch[spec.name])
        for axis, dimension in enumerate(spec.shape):
            if axis == 0:
                wanted = size if isinstance(dimension, str) else dimension
            elif isinstance(dimension, str):
                wanted = max(TRACE_BATCH, array.shape[axis])
            else:
                continue
            array = np.take(array, np.arange(wanted) % array.shape[axis], axis=axis)
        resized[spec.name] = np.ascontiguousarray(array)
    return resized


def _made_up(inputs: Sequence[TensorSpec], *, batch: int, size: int) -> dict[str, Array]:
    sizes: dict[str, int] = {spec.shape[0]: batch for spec in inputs if spec.shape and isinstance(spec.shape[0], str)}
    for dimension in (dimension for spec in inputs for dimension in spec.shape):
        if isinstance(dimension, str) and dimension not in sizes:
            sizes[dimension] = size
            size += _SIZE_STEP
    return {
        spec.name: _values(spec, tuple(sizes[d] if isinstance(d, str) else d for d in spec.shape)) for spec in inputs
    }


def _values(spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Floats from 0 to 1, masks of ones, and integers 0 and 1: within every embedding table of two rows."""
    import numpy as np

    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return np.random.default_rng(0).random(shape).astype(dtype)
    if dtype.kind == "b" or (dtype.kind in "iu" and "mask" in spec.name):
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        return np.resize(np.array([1, 0], dtype), shape)
    raise ValueError(f"input {spec.name!r} has dtype {spec.dtype}, and no example of it can be made up")


def require_sound(step: str, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
    """StepFailed unless `actual` has the outputs of the source in `expected`: names, dtypes, shapes, and finite
    wherever the source's are. How close the values are is judged later, on real inputs."""
    import numpy as np

    hint = "the tool reported success all the same; try other options, or leave the variant out"
    for name, reference in expected.items():
        if name not in actual:
            raise StepFailed(f"{step} made a model without the output {name!r}", hint=hint)
        result = actual[name]
        if result.dtype != reference.dtype or result.shape != reference.shape:
            raise StepFailed(
                f"{step} made a model whose output {name!r} is {result.dtype}{list(result.shape)}, "
                f"where the source gives {reference.dtype}{list(reference.shape)}",
                hint=hint,
            )
        if reference.dtype.kind == "f":
            broken = int(np.count_nonzero(np.isfinite(reference) & ~np.isfinite(result)))
            if broken:
                raise StepFailed(
                    f"{step} made a model whose output {name!r} has {broken} of {result.size} values not finite "
                    "where the source's are",
                    hint=hint,
                )
