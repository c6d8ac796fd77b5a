"""Keras on PyTorch: the model called eagerly in inference mode on the CPU. A process has one Keras backend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import Artifact
from bench.formats.keras_file import load_keras, outputs_in_order, pack_inputs

from .boundary import Call, ModelSession, as_target_error
from .torch import size_pools

if TYPE_CHECKING:
    from bench.core.contracts import Array

# Both are read when Keras is imported.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"


@dataclass(frozen=True, kw_only=True)
class Options:
    """There is nothing to choose."""


class KerasTorch:
    """Adapter of Keras archives."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the model on the CPU; TargetError says why it cannot be."""
        import keras
        import torch

        size_pools(threads)
        with as_target_error(f"{artifact.path}: Keras cannot open it on PyTorch"):
            model = load_keras(Path(artifact.path), backend="torch")
        versions = {"keras": keras.__version__, "torch": torch.__version__}
        return ModelSession(artifact, versions=versions, provider="cpu", bind=partial(_bind, model, artifact))


def _bind(model: Any, artifact: Artifact, arrays: list[Array]) -> Call:
    """Tensors of PyTorch's own, so that no model writes into the caller's arrays; outputs are read in place, for every
    call allocates its own."""
    import torch

    inputs = pack_inputs(model, artifact.inputs, [torch.from_numpy(array).clone() for array in arrays])
    unpack = outputs_in_order(model, artifact.outputs)
    inference_mode = torch.inference_mode

    def call() -> Sequence[Array]:
        with inference_mode():
            answer = model(inputs, training=False)
        return [output.numpy() for output in unpack(answer)]

    return call


ADAPTER = KerasTorch()
