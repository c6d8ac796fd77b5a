"""Keras archives: loaded without code and optimizer, and called with tensors in the order of our specs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

from .archives import require_plausible_archive
from .keras_archive import require_no_code


def prefer_tensorflow() -> None:
    """Let Keras take TensorFlow as its backend, whatever the shell and its settings say; too late once imported."""
    os.environ["KERAS_BACKEND"] = "tensorflow"


def load_keras(path: Path, *, backend: str = "tensorflow") -> Any:
    """The Keras model in a file, refusing code inside it (`safe_mode`), without its optimizer.

    TargetError when Keras was imported with another backend: it takes one per process.
    """
    import keras

    if keras.backend.backend() != backend:
        raise TargetError(
            f"Keras runs on {keras.backend.backend()} in this process, {backend} was asked for",
            hint="open the model in a process of its own, with KERAS_BACKEND unset",
        )
    if path.suffix == ".keras":
        require_plausible_archive(path, "keras")
        require_no_code(path)
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def in_order_of_specs(
    model: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Callable[..., list[Any]]:
    """The model in inference as a function from tensors in the order of `inputs` to a list in that of `outputs`.

    Tensors are matched by native name where all names agree, else by position; TargetError when their numbers differ.
    """
    import keras

    order_in = _order([tensor.name for tensor in model.inputs], inputs, "inputs")
    order_out = _order(model.output_names, outputs, "outputs")

    def call(*tensors: Any) -> list[Any]:
        answer = model(keras.tree.pack_sequence_as(model.input, [tensors[i] for i in order_in]), training=False)
        flat = keras.tree.flatten(answer)
        return [flat[order_out.index(i)] for i in range(len(flat))]

    return call


def _order(names: Sequence[str], specs: Sequence[TensorSpec], what: str) -> list[int]:
    """For each of the model's own tensors the place of its spec."""
    if len(names) != len(specs):
        raise TargetError(
            f"the Keras model has {len(names)} {what} and its description {len(specs)}", hint="build the artifact again"
        )
    natives = [spec.native_name for spec in specs]
    if sorted(names) == sorted(natives):
        return [natives.index(name) for name in names]
    return list(range(len(specs)))
