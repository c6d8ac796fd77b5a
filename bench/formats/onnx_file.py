"""ONNX files as the steps need them: read, counted, and run once on ONNX Runtime to see that they work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.files import tree_size_bytes

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

# Read when onnxruntime is imported: without it a thread starts that writes files at home and looks up hosts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

#: A protobuf message ends at 2 GiB; beyond this, tensors go into a file beside the model.
EXTERNAL_DATA_FROM_BYTES = 1_900_000_000
EXTERNAL_DATA_SUFFIX = ".data"


def all_graphs(graph: Any) -> Iterator[Any]:
    """A GraphProto and the graphs inside its nodes (branches, loop bodies)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from all_graphs(inner)


def operator_counts(model: Any) -> Counter[str]:
    """How often each operator stands in a ModelProto, functions and inner graphs included."""
    counts = Counter(node.op_type for graph in all_graphs(model.graph) for node in graph.node)
    for function in model.functions:
        counts.update(node.op_type for node in function.node)
    return counts


def model_size_bytes(path: Path) -> int:
    """Bytes of the file and of its external data."""
    external = path.with_name(path.name + EXTERNAL_DATA_SUFFIX)
    return tree_size_bytes(path) + (tree_size_bytes(external) if external.is_file() else 0)


def run_onnx(path: Path, batches: Sequence[Batch], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Any:
    """Check the file with onnx, open it on ONNX Runtime's CPU provider and run each batch.

    Gives one mapping of canonical output name to array per batch; raises what the libraries raise.
    """
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    natives = [spec.native_name for spec in outputs]
    answers: list[Mapping[str, Array]] = []
    for batch in batches:
        values = session.run(natives, {spec.native_name: batch[spec.name] for spec in inputs})
        answers.append({spec.name: value for spec, value in zip(outputs, values, strict=True)})
    return answers
