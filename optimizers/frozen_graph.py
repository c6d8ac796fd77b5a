"""Frozen graphs as the steps need them: read, run in TensorFlow, counted, written and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import check_batches, require_sound
from bench.formats.steps import count_changes

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, Examples

FILE_NAME = "model.pb"


def read_graph(path: Path) -> Any:
    """The GraphDef in a .pb file; raises what protobuf raises when it is none."""
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef.FromString(path.read_bytes())
    if not graph.node:
        raise StepFailed(f"{path} is a GraphDef without nodes", hint="make it with the step freeze")
    return graph


def node_names(specs: Sequence[TensorSpec]) -> list[str]:
    """The graph nodes behind tensors such as `input:0`, each once."""
    return list(dict.fromkeys(spec.native_name.partition(":")[0] for spec in specs))


def placeholder_type(graph: Any, name: str) -> int:
    """The DataType number of the placeholder `name`, as TensorFlow's graph tools want it."""
    node = next(node for node in graph.node if node.name == name)
    dtype: int = node.attr["dtype"].type
    return dtype


def run_graph(
    graph: Any, batches: Sequence[Batch], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> list[Mapping[str, Array]]:
    """Import the GraphDef and run each batch: one mapping of canonical output name to array per batch."""
    import tensorflow as tf

    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    feeds = [wrapped.graph.get_tensor_by_name(_tensor_name(spec)) for spec in inputs]
    fetches = [wrapped.graph.get_tensor_by_name(_tensor_name(spec)) for spec in outputs]
    function = wrapped.prune(feeds, fetches)
    answers: list[Mapping[str, Array]] = []
    for batch in batches:
        values = function(*(tf.constant(batch[spec.name]) for spec in inputs))
        answers.append({spec.name: value.numpy() for spec, value in zip(outputs, values, strict=True)})
    return answers


def save_checked(
    step: str, source: Artifact, before: Any, after: Any, out_dir: Path, examples: Examples | None
) -> StepResult:
    """Write the graph `after` that a step made of `before`, read it back, and run both on tiny batches."""
    path = out_dir / FILE_NAME
    path.write_bytes(after.SerializeToString(deterministic=True))
    batches = check_batches(source.inputs, examples)
    expected = run_graph(before, batches, source.inputs, source.outputs)
    made = run_graph(read_graph(path), batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, made, strict=True):
        require_sound(step, reference, answer)
    changes = count_changes(operator_counts(before), operator_counts(after), source.size_bytes, path.stat().st_size)
    return StepResult(format="frozen_graph", path=path, inputs=source.inputs, outputs=source.outputs, changes=changes)


def operator_counts(graph: Any) -> Counter[str]:
    """How often each operator stands in a GraphDef and in the functions of its library."""
    counts = Counter(node.op for node in graph.node)
    for function in graph.library.function:
        counts.update(node.op for node in function.node_def)
    return counts


def _tensor_name(spec: TensorSpec) -> str:
    return spec.native_name if ":" in spec.native_name else f"{spec.native_name}:0"
