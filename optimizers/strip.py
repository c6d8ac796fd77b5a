"""Remove the nodes of a frozen graph that inference does not need."""

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

_NAME = "strip"
_HINT = "give it a frozen graph that runs; the log holds TensorFlow's own words"

#: Behind any of these a control edge decides what is computed, so all control edges stay.
_CONTROL_FLOW = frozenset({"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "ControlTrigger"})


@dataclass(frozen=True, kw_only=True, slots=True)
class StripOptions:
    """There is nothing to choose."""


class Strip:
    """`strip_unused`, `remove_training_nodes` and `extract_sub_graph`, after control edges that order nothing."""

    Options = StripOptions

    def blockers(self, source_format: str, options: StripOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: StripOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.pb` with the same inputs and outputs, and fewer nodes where there was anything to remove."""
        with only_step_failures(_NAME, source, hint=_HINT):
            graph = read_graph(Path(source.path))
            return save_checked(_NAME, source, graph, _stripped(graph, source), out_dir, examples)


def _stripped(graph: Any, source: Artifact) -> Any:
    import tensorflow as tf
    from tensorflow.python.tools import strip_unused_lib

    inputs, outputs = node_names(source.inputs), node_names(source.outputs)
    prepared = _without_idle_edges(graph, outputs)
    types = [placeholder_type(prepared, name) for name in inputs]
    used = strip_unused_lib.strip_unused(prepared, inputs, outputs, types)
    lean = tf.compat.v1.graph_util.remove_training_nodes(used, protected_nodes=[*inputs, *outputs])
    stripped = tf.compat.v1.graph_util.extract_sub_graph(lean, outputs)
    # The tools above drop both: without its versions a graph is read by the rules of another age.
    stripped.versions.CopyFrom(graph.versions)
    stripped.library.CopyFrom(graph.library)
    return stripped


def _without_idle_edges(graph: Any, outputs: Sequence[str]) -> Any:
    """A copy in which CheckNumerics is an Identity (`remove_training_nodes` would cut its data edge, too), without
    control edges where they only order reads of constants and reach assertions: they would keep hundreds of Identity
    nodes alive."""
    copy = type(graph)()
    copy.CopyFrom(graph)
    for node in copy.node:
        if node.op == "CheckNumerics":
            node.op = "Identity"
            del node.attr["message"]
    if not any(_order_matters(operator) for operator in _operators_behind(copy, outputs)):
        for node in copy.node:
            data = [edge for edge in node.input if not edge.startswith("^")]
            del node.input[:]
            node.input.extend(data)
    return copy


def _operators_behind(graph: Any, outputs: Sequence[str]) -> set[str]:
    """Operators of the nodes that the outputs depend on through data."""
    nodes = {node.name: node for node in graph.node}
    reached: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [edge.partition(":")[0] for edge in nodes[name].input if not edge.startswith("^")]
    return {nodes[name].op for name in reached}


def _order_matters(operator: str) -> bool:
    """Whether a control edge can decide what the operator gives: it has state, or steers the flow."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operator)
    return operator in _CONTROL_FLOW or definition is None or definition.is_stateful


STEP = Strip()
