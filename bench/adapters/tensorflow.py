"""TensorFlow on the CPU: every format becomes one graph function, called with ready tensors; `predict` is never used.

TensorFlow sizes its pools once per process, so a process opens models with one number of threads only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bench.core.artifact import Artifact
from bench.core.errors import TargetError
from bench.formats.frozen_graph import graph_function, read_graph
from bench.formats.keras_file import in_order_of_specs, load_keras
from bench.formats.saved_model import serving_function

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array

# Both are read when the libraries are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"


class Loaded(NamedTuple):
    """A function of one tensor per input, giving one tensor per output, both in the artifact's order.

    `owner` holds the variables, which a traced function refers to weakly: it must live as long as the function.
    """

    function: Callable[..., Sequence[Any]]
    owner: Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """`xla` compiles the function for the shapes it sees; the compilation is part of the first call."""

    xla: bool = False


class TensorFlow:
    """Adapter of Keras archives, SavedModels and frozen graphs."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the model as one graph function on the CPU; TargetError says why it cannot be."""
        import tensorflow as tf

        _size_pools(threads)
        load = {"keras": _keras, "saved_model": _saved_model, "frozen_graph": _frozen_graph}[artifact.format]
        with as_target_error(f"{artifact.path}: TensorFlow cannot open it as {artifact.format}"):
            loaded = _traced(load(artifact), artifact, xla=options.xla)
        versions = {"tensorflow": tf.__version__}
        if artifact.format == "keras":
            import keras

            versions["keras"] = keras.__version__
        provider = "CPU, XLA" if options.xla else "CPU"
        return ModelSession(artifact, versions=versions, provider=provider, bind=partial(_bind, loaded))


def _size_pools(threads: int) -> None:
    import tensorflow as tf

    settings = tf.config.threading
    wanted = (threads, 1)
    try:
        settings.set_intra_op_parallelism_threads(threads)
        settings.set_inter_op_parallelism_threads(1)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:  # already running: only a problem if it runs otherwise than asked
        seen = (settings.get_intra_op_parallelism_threads(), settings.get_inter_op_parallelism_threads())
        if seen != wanted:
            raise TargetError(
                f"TensorFlow already runs in this process with {seen[0]} threads, {threads} were asked for",
                hint="open the model in a process of its own",
            ) from error


def _traced(loaded: Loaded, artifact: Artifact, *, xla: bool) -> Loaded:
    """The same function as one graph for the artifact's signature: calling it runs no Python of the model."""
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None if isinstance(dim, str) else dim for dim in spec.shape], _element_type(spec.dtype))
        for spec in artifact.inputs
    ]
    traced = tf.function(loaded.function, autograph=False, jit_compile=True if xla else None)
    return Loaded(traced.get_concrete_function(*specs), loaded.owner)


def _element_type(name: str) -> Any:
    import tensorflow as tf

    return tf.string if name == "str" else tf.dtypes.as_dtype(name)


def _bind(loaded: Loaded, arrays: list[Array]) -> Call:
    """Tensors made beforehand; each output is copied out of TensorFlow's memory, as a caller needs it."""
    import tensorflow as tf

    tensors = [tf.constant(array) for array in arrays]

    def call() -> Sequence[Array]:
        return [output.numpy() for output in loaded.function(*tensors)]

    return call


def _keras(artifact: Artifact) -> Loaded:
    model = load_keras(Path(artifact.path))
    return Loaded(in_order_of_specs(model, artifact.inputs, artifact.outputs), model)


def _saved_model(artifact: Artifact) -> Loaded:
    serve = serving_function(Path(artifact.path), artifact.inputs, artifact.outputs)
    return Loaded(serve, serve)


def _frozen_graph(artifact: Artifact) -> Loaded:
    """The graph imported into a function, its placeholders replaced by the arguments.

    `wrap_function(...).prune(...)`, the usual way, costs about 1.5 ms more on every call (TensorFlow 2.21).
    """
    return Loaded(graph_function(read_graph(Path(artifact.path)), artifact.inputs, artifact.outputs), None)


ADAPTER = TensorFlow()
