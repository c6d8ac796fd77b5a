"""Keras models on whichever backend the process has, called by our names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.artifact import Artifact


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
