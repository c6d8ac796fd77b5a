"""The user's own samples: .npz, .npy or JSON lines, checked against the signature, with optional labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.cell import Dimension
from bench.core.contracts import Examples, LabelledSet
from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_LABELS = "labels"


def user_inputs(
    path: Path,
    specs: Sequence[TensorSpec],
    *,
    count: int,
    batch: int,
    dimensions: Sequence[Dimension] = (),
    seed: int,
) -> tuple[list[Batch], LabelledSet | None]:
    """Up to `count` batches of distinct samples in a seeded order, and all samples as a labelled set where the file
    holds integer `labels`.

    .npz: one array per input under its name, the sample as first axis. .npy: the array of a model with one input.
    .jsonl: one object per line and sample, the label under `labels`. MatrixError names file, key and what was expected.
    Fewer samples than `count` batches need give fewer batches; `dimensions` must agree with the samples' shapes.
    """
    import numpy as np

    arrays = _read(path, specs)
    labels = arrays.get(_LABELS)
    inputs = {spec.name: _checked(path, spec, arrays, dimensions) for spec in specs}
    total = _same_length(path, {**inputs, **({} if labels is None else {_LABELS: labels})})
    if total < batch:
        raise MatrixError(f"{path}: holds {total} samples, one batch needs {batch}", hint=f"batch: {max(total, 1)}")
    order = np.random.default_rng(seed).permutation(total)
    picks = [order[start : start + batch] for start in range(0, total - batch + 1, batch)][:count]
    batches: list[Batch] = [{name: values[pick] for name, values in inputs.items()} for pick in picks]
    return batches, None if labels is None else LabelledSet(inputs=inputs, labels=_checked_labels(path, labels))


def user_examples(path: Path, specs: Sequence[TensorSpec], *, dimensions: Sequence[Dimension] = ()) -> Examples:
    """All samples of a file of the same kind, for steps to learn from; MatrixError as above."""
    arrays = _read(path, specs)
    labels = arrays.get(_LABELS)
    inputs = {spec.name: _checked(path, spec, arrays, dimensions) for spec in specs}
    _same_length(path, {**inputs, **({} if labels is None else {_LABELS: labels})})
    return Examples(inputs=inputs, labels=None if labels is None else _checked_labels(path, labels))


def _read(path: Path, specs: Sequence[TensorSpec]) -> Mapping[str, Array]:
    try:
        if path.suffix == ".npz":
            return _read_npz(path)
        if path.suffix == ".npy":
            return _read_npy(path, specs)
        if path.suffix == ".jsonl":
            return _read_jsonl(path)
    except OSError as error:
        raise MatrixError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise MatrixError(f"{path}: inputs are .npz, .npy or .jsonl, not {path.suffix or 'a name without ending'!r}")


def _read_npz(path: Path) -> Mapping[str, Array]:
    import zipfile

    import numpy as np

    try:
        # numpy leaves a path that it cannot read open, a stream is ours to close.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise MatrixError(f"{path}: is not an .npz file of plain arrays: {error}") from error


def _read_npy(path: Path, specs: Sequence[TensorSpec]) -> Mapping[str, Array]:
    import numpy as np

    if len(specs) != 1:
        names = ", ".join(repr(spec.name) for spec in specs)
        raise MatrixError(f"{path}: one array cannot feed {len(specs)} inputs", hint=f"an .npz file with {names}")
    try:
        return {specs[0].name: np.load(path, allow_pickle=False)}
    except (ValueError, EOFError) as error:
        raise MatrixError(f"{path}: is not an .npy file of a plain array: {error}") from error


def _read_jsonl(path: Path) -> Mapping[str, Array]:
    import numpy as np

    samples: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            sample = json.loads(line)
        except ValueError as error:
            raise MatrixError(f"{path}:{number}: is not JSON: {error}") from error
        if not isinstance(sample, dict) or (samples and sample.keys() != samples[0][1].keys()):
            keys = ", ".join(samples[0][1]) if samples else "the model's inputs"
            raise MatrixError(f"{path}:{number}: every line must be an object with the keys {keys}")
        samples.append((number, sample))
    columns: dict[str, Array] = {}
    for key in samples[0][1] if samples else ():
        values = [_json_array(path, number, key, sample[key]) for number, sample in samples]
        for (number, _), value in zip(samples, values, strict=True):
            if value.shape != values[0].shape:
                raise MatrixError(
                    f"{path}:{number}: {key!r} has shape {value.shape}, the first line has {values[0].shape}",
                    hint="pad all samples to one length",
                )
        columns[key] = np.stack(values)
    return columns


def _json_array(path: Path, number: int, key: str, value: object) -> Array:
    import numpy as np

    try:
        array = np.asarray(value)
    except ValueError as error:
        raise MatrixError(f"{path}:{number}: {key!r} is not a regular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise MatrixError(f"{path}:{number}: {key!r} holds something that is not a number")
    return array


def _checked(path: Path, spec: TensorSpec, arrays: Mapping[str, Array], dimensions: Sequence[Dimension]) -> Array:
    """The array of one input in the input's dtype."""
    import numpy as np

    place = f"{path}: {spec.name!r}"
    key = next((name for name in (spec.name, spec.native_name) if name in arrays), None)
    if key is None:
        found = ", ".join(repr(name) for name in sorted(arrays)) or "nothing"
        raise MatrixError(f"{place} is missing; the file holds {found}", hint=f"add the array {spec.name!r}")
    values = arrays[key]
    if not _shape_fits(values.shape, spec.shape, dimensions):
        expected = ", ".join(["samples", *map(str, spec.shape[1:])])
        raise MatrixError(f"{place} has shape {values.shape}, expected ({expected})")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise MatrixError(f"{place} holds {int((~np.isfinite(values)).sum())} values that are NaN or infinite")
    expected_dtype = np.dtype(spec.dtype)
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(expected_dtype.kind, "")
    converted = values.astype(expected_dtype) if values.dtype.kind in kinds else None
    if converted is None or (expected_dtype.kind in "iu" and not np.array_equal(converted, values)):
        raise MatrixError(f"{place} has dtype {values.dtype}, whose values do not fit {spec.dtype}")
    return converted


def _shape_fits(actual: tuple[int, ...], wanted: tuple[int | str, ...], dimensions: Sequence[Dimension]) -> bool:
    if len(actual) != len(wanted):
        return False
    allowed = {dimension.name: dimension for dimension in dimensions}
    for size, want in zip(actual[1:], wanted[1:], strict=True):
        if isinstance(want, int) and size != want:
            return False
        if isinstance(want, str) and want in allowed and not _is_drawable(size, allowed[want]):
            return False
    return True


def _is_drawable(size: int, dimension: Dimension) -> bool:
    if dimension.kind == "uniform":
        return dimension.values[0] <= size <= dimension.values[1]
    return size in dimension.values


def _same_length(path: Path, arrays: Mapping[str, Array]) -> int:
    lengths = {name: len(values) if values.ndim else 0 for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length}" for name, length in sorted(lengths.items()))
        raise MatrixError(f"{path}: the arrays have different numbers of samples: {listed}")
    return next(iter(lengths.values()), 0)


def _checked_labels(path: Path, labels: Array) -> Array:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise MatrixError(
            f"{path}: {_LABELS!r} is {labels.dtype}{labels.shape}, expected one integer per sample",
            hint="the index of the right class",
        )
    return labels
