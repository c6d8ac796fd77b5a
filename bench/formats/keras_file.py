"""Keras archives: loaded without code and optimizer, and called with tensors in the order of our specs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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
    unpack = outputs_in_order(model, outputs)

    def call(*tensors: Any) -> list[Any]:
        return unpack(model(pack_inputs(model, inputs, tensors), training=False))

    return call


def pack_inputs(model: Any, inputs: Sequence[TensorSpec], tensors: Sequence[Any]) -> Any:
    """What the model is called with, a tensor, a list or a dictionary: `tensors` in the order of `inputs`."""
    import keras

    order = _order([tensor.name for tensor in model.inputs], inputs, "inputs")
    return keras.tree.pack_sequence_as(model.input, [tensors[place] for place in order])


def outputs_in_order(model: Any, outputs: Sequence[TensorSpec]) -> Callable[[Any], list[Any]]:
    """A function from the model's answer, in whatever structure, to its tensors in the order of `outputs`."""
    import keras

    order = _order(output_names(model), outputs, "outputs")
    places = [order.index(place) for place in range(len(order))]

    def unpack(answer: Any) -> list[Any]:
        flat = keras.tree.flatten(answer)
        return [flat[place] for place in places]

    return unpack


def output_names(model: Any) -> list[str]:
    """Names of the outputs in the order in which Keras flattens them: dictionary keys, else the layers they are of,
    else, where one layer gives several, numbered ones."""
    import keras

    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    if isinstance(model.output, Mapping):
        return sorted(model.output)
    names: list[str] = model.output_names
    return names if len(set(names)) == len(names) else [f"output_{index}" for index in range(len(names))]


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
