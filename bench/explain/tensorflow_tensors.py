"""The tensors inside a frozen TensorFlow graph, fetched by name in a session."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.formats.frozen_graph import read_graph, tensor_name

from .graph import Graph, Node, in_order

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch


class TensorFlowTensors:
    """An opened frozen graph. Its constants are nodes like others: nothing is folded that is fetched."""

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        import tensorflow as tf

        definition = read_graph(Path(artifact.path))
        self._artifact = artifact
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.import_graph_def(definition, name="")
        settings = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1)
        self._session = tf.compat.v1.Session(graph=self._graph, config=settings)

    @cached_property
    def graph(self) -> Graph:
        """Every node; control edges order nothing that has a value."""
        nodes = [
            Node(
                name=operation.name,
                operator=operation.type,
                inputs=tuple(tensor.name for tensor in operation.inputs),
                outputs=tuple(tensor.name for tensor in operation.outputs),
            )
            for operation in self._graph.get_operations()
        ]
        return Graph(nodes=in_order(nodes))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs of the model, by their names inside."""
        return tuple(tensor_name(spec) for spec in self._artifact.outputs)

    def fetch(self, names: Sequence[str], batches: Sequence[Batch]) -> dict[str, list[Array]]:
        """The values of tensors on each batch; what holds no numbers has none."""
        known = [name for name in dict.fromkeys(names) if _has_numbers(self._graph.get_tensor_by_name(name))]
        values: dict[str, list[Array]] = {name: [] for name in known}
        for batch in batches:
            feeds = {tensor_name(spec): batch[spec.name] for spec in self._artifact.inputs}
            for name, value in zip(known, self._session.run(known, feeds), strict=True):
                values[name].append(value)
        return values


def _has_numbers(tensor: Any) -> bool:
    return bool(tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool)
