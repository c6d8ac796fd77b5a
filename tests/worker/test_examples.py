"""Samples to learn from are kept apart from those that judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.cell import ModelRef
from bench.core.errors import MatrixError
from bench.core.job import ExamplesJob
from bench.worker.building import BuildPerformer


def _job(directory: Path) -> ExamplesJob:
    model = ModelRef(
        name="m",
        kind="path",
        location="m.onnx",
        inputs_path=str(directory / "inputs.npz"),
        examples_path=str(directory / "examples.npz"),
    )
    specs = (TensorSpec(name="x", dtype="float32", shape=("batch", 3)),)
    return ExamplesJob(model=model, inputs=specs, dimensions=(), seed=0, path=str(directory / "made.npz"))


def _samples(*rows: int) -> np.ndarray:
    return np.array([[row, row, row] for row in rows], np.float32)


def test_samples_that_are_among_the_inputs_too_are_refused_and_counted(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=_samples(1, 2, 3))
    np.savez(tmp_path / "examples.npz", x=_samples(3, 4, 1, 5))
    with pytest.raises(MatrixError) as caught:
        BuildPerformer(_job(tmp_path)).ask("make", {}, lambda phase: None)
    assert "2 of its 4 samples" in caught.value.message


def test_examples_of_the_user_are_written_with_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", x=_samples(1, 2))
    np.savez(tmp_path / "examples.npz", x=_samples(3, 4), labels=np.array([0, 1]))
    answer = BuildPerformer(_job(tmp_path)).ask("make", {}, lambda phase: None)
    assert answer["has_labels"]
    with np.load(tmp_path / "made.npz") as stored:
        assert stored["inputs/x"].tolist() == _samples(3, 4).tolist()
        assert stored["labels"].tolist() == [0, 1]
