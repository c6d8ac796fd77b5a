"""Keras on JAX: the whole model as one compiled function on the CPU.

XLA's pools are made at the first use of a device, once per process, and a process has one Keras backend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bench.core.artifact import Artifact
from bench.formats.keras_file import load_keras, outputs_in_order, pack_inputs

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported


@dataclass(frozen=True, kw_only=True)
class Options:
    """There is nothing to choose."""


class KerasJax:
    """Adapter of Keras archives."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the model as one function for `jax.jit`; TargetError says why it cannot be."""
        os.environ["NPROC"] = str(threads)  # the only size that XLA's pools on the CPU take, and not yet read
        import jax
        import keras

        jax.config.update("jax_platforms", "cpu")
        with as_target_error(f"{artifact.path}: Keras cannot open it on JAX"):
            model = load_keras(Path(artifact.path), backend="jax")
        function = _compiled(model, artifact)
        versions = {"keras": keras.__version__, "jax": jax.__version__}
        return ModelSession(artifact, versions=versions, provider="CPU, XLA", bind=partial(_bind, function))


def _compiled(model: Any, artifact: Artifact) -> Callable[..., Sequence[Any]]:
    """The variables are arguments: as constants they would be compiled in once more for each shape."""
    import jax

    unpack = outputs_in_order(model, artifact.outputs)

    def inference(trainable: Any, other: Any, tensors: Sequence[Any]) -> list[Any]:
        packed = pack_inputs(model, artifact.inputs, tensors)
        answer, _ = model.stateless_call(trainable, other, packed, training=False)
        return unpack(answer)

    variables = [
        [variable.value for variable in kind] for kind in (model.trainable_variables, model.non_trainable_variables)
    ]
    return partial(jax.jit(inference), *variables)


def _bind(function: Callable[..., Sequence[Any]], arrays: list[Array]) -> Call:
    """Inputs lie on the device; outputs are read in place, for they cannot be written to and are never used again."""
    import jax
    import numpy as np

    tensors = [jax.device_put(array) for array in arrays]

    def call() -> Sequence[Array]:
        return [np.asarray(output) for output in function(tensors)]

    return call


ADAPTER = KerasJax()
