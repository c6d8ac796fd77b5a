"""The serving signature of a SavedModel as one function over canonical names."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

if TYPE_CHECKING:
    from bench.core.contracts import Batch

DEFAULT_SIGNATURE = "serving_default"


def read_saved_model(path: Path) -> Any:
    """The SavedModel message: graph, signatures and objects, without any value of a variable."""
    from tensorflow.python.saved_model import loader_impl

    return loader_impl.parse_saved_model(str(path))


def load_saved_model(path: Path) -> Any:
    """What `tf.saved_model.load` gives; keep it as long as its signatures are used, for it owns their variables.

    A model that was saved together with its optimizer is loaded without it: TensorFlow would ask the package of
    Keras 2 to make the optimizer's slots again.
    """
    import tensorflow as tf

    model = read_saved_model(path)
    nodes = model.meta_graphs[0].object_graph_def.nodes
    if not any(node.slot_variables for node in nodes):
        return tf.saved_model.load(str(path))
    for node in nodes:
        node.ClearField("slot_variables")
    with tempfile.TemporaryDirectory() as directory:
        for member in path.resolve().iterdir():
            if member.name != "saved_model.pb":
                Path(directory, member.name).symlink_to(member)
        Path(directory, "saved_model.pb").write_bytes(model.SerializeToString())
        return tf.saved_model.load(directory)


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


def frozen_function(function: Any, *, lower_control_flow: bool) -> Any:
    """The concrete function with its variables as constants; TargetError when other state stays inside.

    `lower_control_flow` writes loops and branches as the plain nodes of TensorFlow 1.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    concrete = function.get_concrete_function()
    # Without aggressive inlining, functions that hold an Assert stay calls, out of reach of every later graph step.
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow, aggressive_inlining=True)
    # A variable left inside would be found here, in the process that loaded it, and in no other.
    state = {operation.type for operation in frozen.graph.get_operations() for t in operation.outputs if _is_state(t)}
    if state:
        raise TargetError(
            f"state stays in the graph after freezing: {', '.join(sorted(state))}",
            hint="lookup tables and other resources cannot be frozen; export the network without them",
        )
    return frozen


def with_signature_names(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The specs as a signature can call them: by canonical name where that is a Python identifier, else by one made
    from it."""
    return tuple(replace(spec, native=_identifier(spec.name)) for spec in specs)


def _identifier(name: str) -> str:
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    return word if word[0].isalpha() else f"tensor_{word}"


def _is_state(tensor: Any) -> bool:
    import tensorflow as tf

    return bool(tensor.dtype == tf.resource or tensor.dtype._is_ref_dtype)  # noqa: SLF001  # no public word for it


def _signature_name(path: Path, names: Sequence[str]) -> str:
    names = [name for name in names if not name.startswith("__")]  # TensorFlow's own
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
