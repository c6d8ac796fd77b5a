"""What a variant computes, written down for the parent to compare with the reference: before any speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.artifact import Artifact
from bench.core.cell import ModelRef
from bench.core.contracts import Session
from bench.core.job import MeasureJob

from .zoo_models import zoo_model

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


def write_outputs(session: Session, pool: Sequence[Batch], path: Path) -> None:
    """Outputs on every batch of the pool as `first/<batch>/<name>`, and those of a second pass as `second/...`."""
    arrays: dict[str, Any] = {}
    for run in ("first", "second"):
        for position, batch in enumerate(pool):
            outputs = session.run(batch)
            arrays |= {f"{run}/{position}/{name}": without_objects(value) for name, value in outputs.items()}
    np.savez(path, **arrays)


def without_objects(values: Array) -> Array:
    """Texts come as Python objects, which numpy would pickle: as fixed-width text they are data."""
    return values.astype(str) if values.dtype.hasobject else values


def predict_labelled(session: Session, job: MeasureJob) -> None:
    """Write one predicted label per labelled sample, as `predictions`."""
    with np.load(job.labelled_path, allow_pickle=False) as stored:
        inputs = {name.removeprefix("inputs/"): stored[name] for name in stored.files if name.startswith("inputs/")}
    predict = predictor(job.cell.model, job.artifact)
    predictions = [predict(session.run(batch))[:count] for batch, count in full_batches(inputs, job.cell.batch)]
    np.savez(job.predictions_path, predictions=np.concatenate(predictions))


def full_batches(inputs: Batch, size: int) -> Iterator[tuple[Batch, int]]:
    """Batches of exactly `size`, the last filled up by repeating its last sample, and how many of each are real."""
    total = len(next(iter(inputs.values())))
    for start in range(0, total, size):
        indices = np.minimum(np.arange(start, start + size), total - 1)
        yield {name: values[indices] for name, values in inputs.items()}, min(size, total - start)


def predictor(model: ModelRef, artifact: Artifact) -> Callable[[Mapping[str, Array]], Array]:
    """From the outputs of a batch to one label per sample: the zoo model's own way, or the largest of the first."""
    if model.kind == "zoo" and not model.inputs_path:
        return zoo_model(model).predictions
    first = artifact.outputs[0].name

    def top1(outputs: Mapping[str, Array]) -> Array:
        predictions: Array = outputs[first].reshape(len(outputs[first]), -1).argmax(axis=1)
        return predictions

    return top1
