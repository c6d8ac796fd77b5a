"""The serving signature of a SavedModel as one function over canonical names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .artifact import TensorSpec
from .errors import TargetError

if TYPE_CHECKING:
    from .contracts import Batch

DEFAULT_SIGNATURE = "serving_default"


def read_meta_graph(path: Path) -> Any:
    """The MetaGraphDef of the SavedModel: its graph, signatures and objects, without any value of a variable."""
    from tensorflow.python.saved_model import loader_impl

    return loader_impl.parse_saved_model(str(path)).meta_graphs[0]


def load_saved_model(path: Path) -> Any:
    """What TensorFlow loads; it must be kept as long as its signatures are used, for it owns their variables.

    A model saved together with its optimizer can be loaded by `tf.saved_model.load` only where the package of Keras 2
    is installed, so it is loaded by its graph and signatures alone, as serving programs do.
    """
    import tensorflow as tf

    meta_graph = read_meta_graph(path)
    if any(node.slot_variables for node in meta_graph.object_graph_def.nodes):
        from tensorflow.python.saved_model import load_v1_in_v2

        return load_v1_in_v2.load(str(path), list(meta_graph.meta_info_def.tags), False)  # noqa: FBT003
    return tf.saved_model.load(str(path))


def serving_function(path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Any:
    """A `tf.function` from tensors in the order of `inputs`, named by their canonical names, to a list of tensors in
    the order of `outputs`; shapes and dtypes are the file's. TargetError says what the file lacks.
    """
    import tensorflow as tf

    loaded = load_saved_model(path)
    name = _signature_name(path, list(loaded.signatures))
    _, by_keyword = loaded.signatures[name].structured_input_signature
    results = loaded.signatures[name].structured_outputs
    _require(path, "input", inputs, by_keyword)
    _require(path, "output", outputs, results)

    def serve(*tensors: Any) -> list[Any]:
        # `loaded` is named here on purpose: a signature alone does not keep its variables alive.
        answers = loaded.signatures[name](**dict(zip((spec.native_name for spec in inputs), tensors, strict=True)))
        return [answers[spec.native_name] for spec in outputs]

    signature = [
        tf.TensorSpec(by_keyword[spec.native_name].shape, by_keyword[spec.native_name].dtype, name=spec.name)
        for spec in inputs
    ]
    return tf.function(serve, input_signature=signature, autograph=False)


def run_function(function: Any, batch: Batch, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Any:
    """Call what `serving_function` gave: canonical output name -> array."""
    import tensorflow as tf

    answers = function(*(tf.constant(batch[spec.name]) for spec in inputs))
    return {spec.name: answer.numpy() for spec, answer in zip(outputs, answers, strict=True)}


def _signature_name(path: Path, names: Sequence[str]) -> str:
    if DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE
    if len(names) == 1:
        return names[0]
    found = f"has the signatures {', '.join(sorted(names))}" if names else "has no signature"
    raise TargetError(f"{path} {found}", hint=f"export it with one signature called {DEFAULT_SIGNATURE}")


def _require(path: Path, what: str, specs: Sequence[TensorSpec], known: Mapping[str, Any]) -> None:
    for spec in specs:
        if spec.native_name not in known:
            raise TargetError(
                f"{path} has no {what} {spec.native_name!r}; it has {', '.join(sorted(known))}",
                hint="build the artifact again, or correct the names of the model's tensors",
            )
