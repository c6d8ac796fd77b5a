"""Write an ONNX model as a SavedModel, with onnx2tf."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.core.files import tree_size_bytes
from bench.formats.examples import check_batches, require_sound
from bench.formats.onnx_file import operator_counts, run_onnx
from bench.formats.saved_model import run_function, serving_function
from bench.formats.steps import only_step_failures, table_blockers

from . import onnx2tf_packages

if TYPE_CHECKING:
    from bench.core.contracts import Array, Examples

_NAME = "onnx_to_saved_model"
_HINT = "an operator may be unknown to onnx2tf, or a layout misjudged; the log holds its own words"
#: What counts as the same values in another order, of the largest: conversions are equal to about 1e-6.
_SAME_VALUES_RATIO = 1e-2


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxToSavedModelOptions:
    """There is nothing to choose."""


class OnnxToSavedModel:
    """`onnx2tf.convert` in memory, saved by TensorFlow with one signature in the source's layout."""

    Options = OnnxToSavedModelOptions

    def blockers(self, source_format: str, options: OnnxToSavedModelOptions) -> Sequence[str]:
        """What the table line says is missing, and the packages of onnx2tf."""
        reasons = table_blockers(_NAME, source_format)
        if not onnx2tf_packages.is_fetched():
            reasons.append(f"{_NAME}: onnx2tf is not fetched: {onnx2tf_packages.COMMAND}")
        return reasons

    def apply(
        self, source: Artifact, options: OnnxToSavedModelOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write the directory `saved_model`, whose inputs and outputs keep names, dtypes and the order of axes."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    batches = check_batches(source.inputs, examples)
    expected = run_onnx(Path(source.path), batches, source.inputs, source.outputs)
    model, operators = _converted(source)
    inputs = tuple(replace(spec, native="") for spec in source.inputs)
    outputs = tuple(replace(spec, native="") for spec in source.outputs)
    call = _caller(model, source)
    answer = call(*(batches[-1][spec.name] for spec in inputs))
    orders = {
        spec.name: _order_of_axes(spec.name, expected[-1][spec.name], value.numpy())
        for spec, value in zip(outputs, answer, strict=True)
    }
    path = out_dir / "saved_model"
    _save(model, call, inputs, outputs, orders, path)

    serve = serving_function(path, inputs, outputs)
    for batch, reference in zip(batches, expected, strict=True):
        require_sound(_NAME, reference, run_function(serve, batch, inputs, outputs))
    transposed = [name for name, order in orders.items() if order]
    changes = (
        Change(what="bytes", before=source.size_bytes, after=tree_size_bytes(path)),
        Change(what="nodes", before=operators, after=_nodes(path)),
    )
    notes = [f"transposed back to the source's order of axes: {', '.join(transposed)}"] if transposed else []
    return StepResult(
        format="saved_model", path=path, inputs=inputs, outputs=outputs, changes=changes, notes=tuple(notes)
    )


def _converted(source: Artifact) -> tuple[Any, int]:
    """The Keras 2 model that onnx2tf makes of the file, and how many nodes the file has."""
    import onnx

    if not onnx2tf_packages.is_fetched():
        raise StepFailed(f"{_NAME}: onnx2tf is not fetched", hint=onnx2tf_packages.COMMAND)
    sys.path.append(str(onnx2tf_packages.directory()))  # last: nothing of ours is replaced
    from onnx2tf import onnx2tf as library

    # Where the batch is fixed and the inputs look like images it would download some for its own checks.
    library.download_test_image_data = _noise
    model = onnx.load(source.path)
    operators = operator_counts(model).total()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model.onnx")  # a copy: the library writes into its input
        onnx.save(model, path)
        try:
            converted = library.convert(
                input_onnx_file_path=str(path),
                output_folder_path=directory,
                not_use_onnxsim=True,  # a program of its own that is not installed
                keep_shape_absolutely_input_names=[spec.native_name for spec in source.inputs],
                disable_model_save=True,
                verbosity="error",
            )
        except SystemExit as error:  # how the library ends when it fails
            raise StepFailed(f"{_NAME}: onnx2tf gave up on {source.path}", hint=_HINT) from error
    return converted, operators


def _noise() -> Array:
    import numpy as np

    return np.random.default_rng(0).random((20, 128, 128, 3), np.float32)


def _caller(model: Any, source: Artifact) -> Any:
    """The converted model as a function from tensors in the order of the inputs to a list in that of the outputs."""
    natives = [spec.native_name for spec in source.inputs]
    # onnx2tf keeps the file's order, and its names as far as TensorFlow can spell them.
    if len(model.inputs) != len(natives) or len(model.outputs) != len(source.outputs):
        raise StepFailed(
            f"{_NAME}: onnx2tf made {len(model.inputs)} inputs and {len(model.outputs)} outputs of "
            f"{len(natives)} and {len(source.outputs)}",
            hint="inputs and outputs that the network does not use vanish: leave them out of the model",
        )
    position = _positions(source)

    def call(*tensors: Any) -> list[Any]:
        answer = model([tensors[index] for index in position["inputs"]], training=False)
        flat = answer if isinstance(answer, list | tuple) else [answer]
        return [flat[position["outputs"].index(index)] for index in range(len(source.outputs))]

    return call


def _positions(source: Artifact) -> Mapping[str, list[int]]:
    """For each input and output of the file, in its order, the place of its spec."""
    import onnx

    graph = onnx.load(source.path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    files = {
        "inputs": [v.name for v in graph.input if v.name not in constants],
        "outputs": [v.name for v in graph.output],
    }
    specs = {"inputs": source.inputs, "outputs": source.outputs}
    return {
        side: [[spec.native_name for spec in specs[side]].index(name) for name in names]
        for side, names in files.items()
    }


def _order_of_axes(name: str, expected: Array, made: Array) -> tuple[int, ...]:
    """How to transpose `made` to get `expected`, empty when nothing is to be done: channels may have become last."""
    import numpy as np

    rank = expected.ndim
    channels_first = (0, rank - 1, *range(1, rank - 1))
    for order in ((), channels_first) if rank > 2 and made.ndim == rank else ((),):
        candidate = made.transpose(order) if order else made
        if candidate.shape != expected.shape:
            continue
        if np.abs(candidate - expected).max() <= _SAME_VALUES_RATIO * np.abs(expected).max():
            return order
    raise StepFailed(
        f"{_NAME}: output {name!r} of the converted model is not the source's in any order of axes "
        f"({list(made.shape)} for {list(expected.shape)})",
        hint="onnx2tf misjudged a layout: leave the variant out",
    )


def _save(
    model: Any,
    call: Any,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    orders: Mapping[str, tuple[int, ...]],
    path: Path,
) -> None:
    import tensorflow as tf

    def serve(*tensors: Any) -> dict[str, Any]:
        answers = dict(zip((spec.name for spec in outputs), call(*tensors), strict=True))
        return {name: tf.transpose(value, orders[name]) if orders[name] else value for name, value in answers.items()}

    signature = [
        tf.TensorSpec([None if isinstance(size, str) else size for size in spec.shape], spec.dtype, spec.name)
        for spec in inputs
    ]
    # Only variables and the function, as serving programs can restore them.
    holder = tf.Module()
    holder.variables_of_model = list(model.variables)
    holder.serve = tf.function(serve, input_signature=signature, autograph=False)
    tf.saved_model.save(holder, str(path), signatures=holder.serve)


def _nodes(path: Path) -> int:
    from bench.formats.saved_model import read_saved_model

    graph = read_saved_model(path).meta_graphs[0].graph_def
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


STEP = OnnxToSavedModel()
