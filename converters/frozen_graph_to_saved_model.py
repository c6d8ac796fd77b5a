"""Write a frozen graph as a SavedModel that serving programs load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import StepResult
from bench.core.files import tree_size_bytes
from bench.formats.examples import check_batches, require_sound
from bench.formats.frozen_graph import operator_counts, read_graph, run_graph, tensor_name
from bench.formats.saved_model import (
    DEFAULT_SIGNATURE,
    read_saved_model,
    run_function,
    serving_function,
    with_signature_names,
)
from bench.formats.steps import count_changes, only_step_failures, table_blockers

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "frozen_graph_to_saved_model"
_HINT = "give it a frozen graph that runs (the step freeze makes one); the log holds TensorFlow's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenGraphToSavedModelOptions:
    """There is nothing to choose."""


class FrozenGraphToSavedModel:
    """`tf.compat.v1.saved_model.Builder` over the graph as it is: no node is changed, there are no variables."""

    Options = FrozenGraphToSavedModelOptions

    def blockers(self, source_format: str, options: FrozenGraphToSavedModelOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: FrozenGraphToSavedModelOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write the directory `saved_model`; its signature `serving_default` uses the canonical names."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    graph = read_graph(Path(source.path))
    inputs, outputs = with_signature_names(source.inputs), with_signature_names(source.outputs)
    path = out_dir / "saved_model"
    _save(graph, source, inputs, outputs, path)

    reloaded = serving_function(path, inputs, outputs)
    batches = check_batches(inputs, examples)
    expected = run_graph(graph, batches, source.inputs, source.outputs)
    for batch, reference in zip(batches, expected, strict=True):
        require_sound(_NAME, reference, run_function(reloaded, batch, inputs, outputs))
    after = operator_counts(read_saved_model(path).meta_graphs[0].graph_def)
    changes = count_changes(operator_counts(graph), after, source.size_bytes, tree_size_bytes(path))
    return StepResult(format="saved_model", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _save(
    graph: Any, source: Artifact, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], path: Path
) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    with tf.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        tf.graph_util.import_graph_def(graph, name="")

        def described(ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> dict[str, Any]:
            tensors = [imported.get_tensor_by_name(tensor_name(spec)) for spec in theirs]
            infos = map(v1.saved_model.build_tensor_info, tensors)
            return dict(zip((spec.native_name for spec in ours), infos, strict=True))

        signature = v1.saved_model.build_signature_def(
            described(inputs, source.inputs),
            described(outputs, source.outputs),
            v1.saved_model.signature_constants.PREDICT_METHOD_NAME,
        )
        builder.add_meta_graph_and_variables(session, ["serve"], {DEFAULT_SIGNATURE: signature})
        builder.save()


STEP = FrozenGraphToSavedModel()
