"""Frozen graphs: read, counted, made a function of tensors, and run once to see that they work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


def read_graph(path: Path) -> Any:
    """The GraphDef in a .pb file; TargetError when it holds none."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2

    hint = "a frozen graph is a binary GraphDef, as the step freeze makes it"
    try:
        graph = graph_pb2.GraphDef.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise TargetError(f"{path}: not a frozen graph: {error}", hint=hint) from error
    if not graph.node:
        raise TargetError(f"{path}: not a frozen graph: it has no nodes", hint=hint)
    return graph


def node_names(specs: Sequence[TensorSpec]) -> list[str]:
    """The graph nodes behind tensors such as `input:0`, each once."""
    return list(dict.fromkeys(spec.native_name.partition(":")[0] for spec in specs))


def tensor_name(spec: TensorSpec) -> str:
    """`node:0` for a node's bare name."""
    return spec.native_name if ":" in spec.native_name else f"{spec.native_name}:0"


def graph_function(
    graph: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Callable[..., Sequence[Any]]:
    """The GraphDef as a Python function from tensors in the order of `inputs` to those of `outputs`."""
    import tensorflow as tf

    feeds, fetches = [tensor_name(spec) for spec in inputs], [tensor_name(spec) for spec in outputs]

    def imported(*tensors: Any) -> Sequence[Any]:
        replaced = dict(zip(feeds, tensors, strict=True))
        answers: list[Any] = tf.graph_util.import_graph_def(graph, replaced, fetches, name="")
        return answers

    return imported


def run_graph(
    graph: Any, batches: Sequence[Batch], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> list[Mapping[str, Array]]:
    """Import the GraphDef and run each batch: one mapping of canonical output name to array per batch.

    In a session of TensorFlow 1: there, two graphs of one process may have different functions of the same name.
    """
    import tensorflow as tf

    feeds, fetches = [tensor_name(spec) for spec in inputs], [tensor_name(spec) for spec in outputs]
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(graph, name="")
    answers: list[Mapping[str, Array]] = []
    with tf.compat.v1.Session(graph=imported) as session:
        for batch in batches:
            fed = dict(zip(feeds, (batch[spec.name] for spec in inputs), strict=True))
            values = session.run(fetches, fed)
            answers.append({spec.name: value for spec, value in zip(outputs, values, strict=True)})
    return answers


def operator_counts(graph: Any) -> Counter[str]:
    """How often each operator stands in a GraphDef and in the functions of its library."""
    counts = Counter(node.op for node in graph.node)
    for function in graph.library.function:
        counts.update(node.op for node in function.node_def)
    return counts
