"""What a worker writes down of a variant's outputs is data, whatever the model gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.artifact import TensorSpec
from bench.worker.checking import write_outputs


class TextSession:
    """A session of a classifier that answers in words, as ONNX gives them: Python objects."""

    inputs = (TensorSpec(name="x", dtype="float32", shape=("batch",)),)
    outputs = (TensorSpec(name="label", dtype="object", shape=("batch",)),)
    versions: Mapping[str, str] = {}
    provider = "none"

    def run(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"label": np.array(["cat" if value > 0 else "a dog" for value in batch["x"]], dtype=object)}

    def bind(self, batch: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: [self.run(batch)["label"]]

    def close(self) -> None:
        pass


def test_texts_are_written_without_pickling(tmp_path: Path) -> None:
    write_outputs(TextSession(), [{"x": np.array([1.0, -1.0])}], tmp_path / "outputs.npz")
    with np.load(tmp_path / "outputs.npz", allow_pickle=False) as stored:
        assert stored["first/0/label"].tolist() == ["cat", "a dog"]
        assert stored["second/0/label"].tolist() == ["cat", "a dog"]
