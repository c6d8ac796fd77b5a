"""A graph as an events file that TensorBoard shows, written with TensorBoard's own package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import MissingPackage
from bench.core.plugins import install_hint

_LONGEST_CONSTANT_BYTES = 1024  # TensorBoard shows no more of one, and a graph above 2 GB cannot be written


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node of a graph; `inputs` are names of nodes."""

    name: str
    operator: str
    inputs: tuple[str, ...] = ()


def graph_bytes(nodes: Iterable[Node]) -> bytes:
    """Nodes of any format as a serialised GraphDef."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef()
    for node in nodes:
        graph.node.add(name=_shown(node.name), op=node.operator, input=[_shown(source) for source in node.inputs])
    content: bytes = graph.SerializeToString()
    return content


def without_large_constants(graph: Any) -> bytes:
    """A GraphDef of TensorFlow's, serialised with the values of its large constants left out."""
    copy = type(graph)()
    copy.CopyFrom(graph)
    for node in copy.node:
        value = node.attr["value"] if node.op == "Const" else None
        if value is not None and value.ByteSize() > _LONGEST_CONSTANT_BYTES:
            for field in ("tensor_content", "float_val", "half_val", "double_val", "int_val", "int64_val"):
                value.tensor.ClearField(field)
    content: bytes = copy.SerializeToString()
    return content


def write_events(graph: bytes, directory: Path) -> None:
    """Write an events file that holds the graph; MissingPackage when TensorBoard is not installed."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingPackage(
            f"an events file needs tensorboard: {error}", hint=install_hint(["tensorboard"])
        ) from error
    writer = EventFileWriter(str(directory))
    writer.add_event(Event(graph_def=graph))
    writer.close()


def _shown(name: str) -> str:
    """TensorBoard groups names by slashes and does not show one that begins with one."""
    return name.strip("/") or "unnamed"
