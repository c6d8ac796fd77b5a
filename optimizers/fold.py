"""Fold the constants of a frozen graph: what can be computed once is computed now, batch normalization included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.frozen_graph import node_names, read_graph
from bench.formats.steps import only_step_failures, table_blockers

from .frozen_graph import placeholder_type, save_checked

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "fold"
_HINT = "give it a frozen graph that runs (the step freeze makes one); the log holds TensorFlow's own words"

#: Never add "remap" or "layout": what they make is for one machine's kernels and was seen to fail when loaded again.
_OPTIMIZERS = ("pruning", "constfold", "arithmetic", "dependency")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldOptions:
    """There is nothing to choose."""


class Fold:
    """Grappler's portable rewrites, then `optimize_for_inference`, which folds the normalization that is left."""

    Options = FoldOptions

    def blockers(self, source_format: str, options: FoldOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: FoldOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.pb` with the same inputs and outputs, and fewer nodes where there was anything to fold."""
        with only_step_failures(_NAME, source, hint=_HINT):
            graph = read_graph(Path(source.path))
            return save_checked(_NAME, source, graph, folded(graph, source), out_dir, examples)


def folded(graph: Any, source: Artifact) -> Any:
    """The GraphDef of `source` with everything folded that does not depend on an input."""
    return _without_waiting(_without_normalization(_rewritten(graph, source), source), source)


def _without_waiting(graph: Any, source: Artifact) -> Any:
    """Grappler lets folded constants wait for the placeholders. A session that is fed does not mind, but a function
    whose arguments stand for them has no placeholder to run."""
    placeholders = {f"^{name}" for name in node_names(source.inputs)}
    for node in graph.node:
        kept = [name for name in node.input if name not in placeholders]
        if len(kept) < len(node.input):
            node.input[:] = kept
    return graph


def _rewritten(graph: Any, source: Artifact) -> Any:
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.grappler import tf_optimizer

    imported = tf.Graph()
    with imported.as_default():
        tf.import_graph_def(graph, name="")
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=imported)
    # Grappler takes what must survive from this collection; there is no other way to name it.
    kept = meta_graph.collection_def["train_op"].node_list.value
    kept.extend([*node_names(source.inputs), *node_names(source.outputs)])
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.optimizers.extend(_OPTIMIZERS)
    rewrite.min_graph_nodes = -1  # small graphs, too
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _without_normalization(graph: Any, source: Artifact) -> Any:
    """Grappler takes apart what Keras writes; a FusedBatchNorm of an older graph goes into the convolution here.

    Before Grappler this finds nothing, for Identity nodes stand between constants and operators.
    """
    from tensorflow.python.tools import optimize_for_inference_lib

    inputs, outputs = node_names(source.inputs), node_names(source.outputs)
    types = [placeholder_type(graph, name) for name in inputs]
    lean = optimize_for_inference_lib.optimize_for_inference(graph, inputs, outputs, types)
    # The tool drops both: without its versions a graph is read by the rules of another age.
    lean.versions.CopyFrom(graph.versions)
    lean.library.CopyFrom(graph.library)
    return lean


STEP = Fold()
