"""What the steps over frozen graphs share: the graph that a step made is written, read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.frozen_graph import operator_counts, read_graph, run_graph
from bench.formats.steps import count_changes

if TYPE_CHECKING:
    from bench.core.contracts import Examples

FILE_NAME = "model.pb"


def placeholder_type(graph: Any, name: str) -> int:
    """The DataType number of the placeholder `name`, as TensorFlow's graph tools want it."""
    node = next(node for node in graph.node if node.name == name)
    dtype: int = node.attr["dtype"].type
    return dtype


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
