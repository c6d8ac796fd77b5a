"""What a model answered, as people read it: classes with probabilities, embeddings with cosines, or plain tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.core.contracts import Array

Kind = Literal["auto", "classes", "embedding", "tensors"]

_SUM_TOLERANCE = 1e-2  # of probabilities: 8-bit and 16-bit models round them
_NORM_TOLERANCE = 1e-2
_FEWEST_COMPONENTS = 32  # an embedding has more; so many classes rarely come as a vector of length one
_SHOWN_VALUES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScore:
    """One class of one sample; `label` is its number where no labels are given."""

    number: int
    label: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """The likeliest classes of each sample, best first; `from_logits` where probabilities are a softmax made here."""

    output: str
    count: int
    from_logits: bool
    samples: tuple[tuple[ClassScore, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """Vectors: how long they are, and the cosine of each pair."""

    output: str
    size: int
    norms: tuple[float, ...]
    cosines: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An output that is neither; `least` and `most` are None where there are no numbers."""

    output: str
    dtype: str
    shape: tuple[int, ...]
    least: float | None
    most: float | None
    first: tuple[float | int | bool | str, ...]


Reading = Classes | Embeddings | Tensor


def read(
    outputs: Mapping[str, Array], *, kind: Kind = "auto", labels: Sequence[str] = (), top: int = 10
) -> tuple[Reading, ...]:
    """What the outputs say: one reading of classes or embeddings where one of them is such, else every tensor.

    MatrixError: they hold no such thing as was asked for, or the labels are not as many as the classes.
    """
    vectors = {name: array for name, array in outputs.items() if _is_vector(array)}
    if kind in {"auto", "embedding"}:
        name = next((name for name, array in vectors.items() if kind == "embedding" or _is_embedding(name, array)), "")
        if name:
            return (_embeddings(name, vectors[name]),)
    if kind in {"auto", "classes"} and vectors:
        name = _likeliest_classes(vectors)
        return (_classes(name, vectors[name], labels, top),)
    if kind not in {"auto", "tensors"}:
        raise MatrixError(f"none of the outputs holds {kind}: {', '.join(outputs)}", hint="--as tensors")
    return tuple(_tensor(name, array) for name, array in outputs.items())


def read_labels(path: Path) -> tuple[str, ...]:
    """One label a line, or a JSON list; MatrixError when it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
        labels = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise MatrixError(f"{path}: cannot be read: {error}", hint="one label a line, or a JSON list") from error
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise MatrixError(f"{path}: not a list of labels", hint="one label a line, or a JSON list of texts")
    return tuple(labels)


def _is_vector(array: Array) -> bool:
    return array.ndim == 2 and array.dtype.kind == "f" and array.shape[0] > 0 and array.shape[1] > 1


def _is_embedding(name: str, array: Array) -> bool:
    import numpy as np

    if "embed" in name.lower():
        return True
    norms = np.linalg.norm(array.astype(np.float64), axis=1)
    is_unit = bool(np.all(np.abs(norms - 1) < _NORM_TOLERANCE))
    return is_unit and array.shape[1] >= _FEWEST_COMPONENTS and bool((array < 0).any())


def _are_probabilities(array: Array) -> bool:
    import numpy as np

    values = array.astype(np.float64)
    return bool((values >= 0).all() and np.all(np.abs(values.sum(axis=1) - 1) < _SUM_TOLERANCE))


def _likeliest_classes(vectors: Mapping[str, Array]) -> str:
    """The output that holds probabilities, else logits by its name, else the first."""
    by_values = [name for name, array in vectors.items() if _are_probabilities(array)]
    by_name = [name for word in ("prob", "logit", "score") for name in vectors if word in name.lower()]
    return next(iter([*by_values, *by_name, *vectors]))


def _classes(name: str, array: Array, labels: Sequence[str], top: int) -> Classes:
    import numpy as np

    count = array.shape[1]
    if labels and len(labels) != count:
        raise MatrixError(f"there are {len(labels)} labels for {count} classes", hint="one label for each class")
    values = array.astype(np.float64)
    from_logits = not _are_probabilities(array)
    if from_logits:
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
    order = np.argsort(-values, axis=1, kind="stable")[:, :top]
    samples = tuple(
        tuple(
            ClassScore(number=int(at), label=labels[at] if labels else str(at), probability=float(row[at]))
            for at in best
        )
        for row, best in zip(values, order, strict=True)
    )
    return Classes(output=name, count=count, from_logits=from_logits, samples=samples)


def _embeddings(name: str, array: Array) -> Embeddings:
    import numpy as np

    values = array.astype(np.float64)
    norms = np.linalg.norm(values, axis=1)
    unit = values / np.maximum(norms, np.finfo(np.float64).tiny)[:, None]
    return Embeddings(
        output=name,
        size=array.shape[1],
        norms=tuple(norms.tolist()),
        cosines=tuple(tuple(row) for row in (unit @ unit.T).tolist()),
    )


def _tensor(name: str, array: Array) -> Tensor:
    are_numbers = array.dtype.kind in "iuf" and bool(array.size)
    return Tensor(
        output=name,
        dtype="str" if array.dtype.kind in "OSU" else array.dtype.name,
        shape=tuple(array.shape),
        least=float(array.min()) if are_numbers else None,
        most=float(array.max()) if are_numbers else None,
        first=tuple(value.item() if hasattr(value, "item") else value for value in array.ravel()[:_SHOWN_VALUES]),
    )
