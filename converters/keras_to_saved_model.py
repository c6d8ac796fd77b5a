"""Write a Keras model as a SavedModel with one named serving signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.core.files import tree_size_bytes
from bench.formats.examples import check_batches, require_sound
from bench.formats.keras_file import in_order_of_specs, load_keras, prefer_tensorflow
from bench.formats.saved_model import run_function, serving_function, with_signature_names
from bench.formats.steps import only_step_failures, table_blockers

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "keras_to_saved_model"
_HINT = "save the model with model.save('model.keras'), without custom objects; the log holds Keras's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class KerasToSavedModelOptions:
    """There is nothing to choose."""


class KerasToSavedModel:
    """`tf.saved_model.save` of a module that holds the model's variables and one function, and nothing else."""

    Options = KerasToSavedModelOptions

    def blockers(self, source_format: str, options: KerasToSavedModelOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: KerasToSavedModelOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write the directory `saved_model`; its signature uses the canonical names."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    prefer_tensorflow()
    import tensorflow as tf

    model = load_keras(Path(source.path))
    inputs, outputs = with_signature_names(source.inputs), with_signature_names(source.outputs)
    call = in_order_of_specs(model, source.inputs, source.outputs)

    def serve(*tensors: Any) -> dict[str, Any]:
        return {spec.native_name: answer for spec, answer in zip(outputs, call(*tensors), strict=True)}

    signature = [
        tf.TensorSpec([None if isinstance(size, str) else size for size in spec.shape], spec.dtype, spec.native_name)
        for spec in inputs
    ]
    # Only variables and the function: a module that holds the model itself is saved with names that the loader of
    # TensorFlow 1, which serving binaries use, cannot restore; model.export() would store every variable twice.
    holder = tf.Module()
    holder.variables_of_model = [variable.value for variable in model.variables]
    holder.serve = tf.function(serve, input_signature=signature, autograph=False)
    path = out_dir / "saved_model"
    tf.saved_model.save(holder, str(path), signatures=holder.serve)

    reloaded = serving_function(path, inputs, outputs)
    for batch in check_batches(inputs, examples):
        answer = holder.serve(*(tf.constant(batch[spec.name]) for spec in inputs))
        expected = {spec.name: answer[spec.native_name].numpy() for spec in outputs}
        require_sound(_NAME, expected, run_function(reloaded, batch, inputs, outputs))
    changes = (
        Change(what="bytes", before=source.size_bytes, after=tree_size_bytes(path)),
        Change(what="variables", before=len(model.variables), after=_stored_variables(path)),
    )
    return StepResult(format="saved_model", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _stored_variables(path: Path) -> int:
    import tensorflow as tf

    stored = tf.train.list_variables(str(path / "variables" / "variables"))
    return sum(name != "_CHECKPOINTABLE_OBJECT_GRAPH" for name, _ in stored)


STEP = KerasToSavedModel()
