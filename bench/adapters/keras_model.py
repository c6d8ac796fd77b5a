"""Keras models on whichever backend the process has: loaded without code and optimizer, called by our names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.artifact import Artifact
from bench.core.errors import TargetError
from bench.formats.archives import require_plausible_archive
from bench.formats.keras_archive import require_no_code


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


def inputs_of(model: Any, artifact: Artifact, tensors: Sequence[Any]) -> Any:
    """What the model is called with: a tensor where it was built with one, else a dictionary, which also serves for a
    list."""
    import keras

    if isinstance(model, keras.Sequential) or not isinstance(model.input, list | tuple | Mapping):
        return tensors[0]
    if len(tensors) == 1:
        return {model.inputs[0].name: tensors[0]}
    return {spec.native_name: tensor for spec, tensor in zip(artifact.inputs, tensors, strict=True)}


def outputs_of(answer: Any, artifact: Artifact) -> list[Any]:
    """The tensors of an answer in the artifact's order."""
    import keras

    if isinstance(answer, Mapping):
        return [answer[spec.native_name] for spec in artifact.outputs]
    flat: list[Any] = keras.tree.flatten(answer)
    return flat
