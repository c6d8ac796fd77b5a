"""Turn the variables of a SavedModel into constants of one graph without functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.frozen_graph import operator_counts, read_graph, run_graph
from bench.formats.saved_model import frozen_function, read_saved_model, run_function, serving_function
from bench.formats.steps import count_changes, only_step_failures, table_blockers

from .frozen_graph import FILE_NAME

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "freeze"
_HINT = "give it a SavedModel that TensorFlow can load and serve; the log holds TensorFlow's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class FreezeOptions:
    """There is nothing to choose."""


class Freeze:
    """`convert_variables_to_constants_v2` over the serving signature, with inputs named by their canonical names."""

    Options = FreezeOptions

    def blockers(self, source_format: str, options: FreezeOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: FreezeOptions, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.pb`; its answers were seen to be as sound as the source's."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _freeze(source, out_dir, examples)


def _freeze(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    serve = serving_function(Path(source.path), source.inputs, source.outputs)
    before = operator_counts(read_saved_model(Path(source.path)).meta_graphs[0].graph_def)
    frozen = frozen_function(serve, lower_control_flow=True)
    inputs = _renamed(source.inputs, frozen.inputs)
    outputs = _renamed(source.outputs, frozen.outputs)
    path = out_dir / FILE_NAME
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString(deterministic=True))

    graph = read_graph(path)
    batches = check_batches(inputs, examples)
    for batch, answer in zip(batches, run_graph(graph, batches, inputs, outputs), strict=True):
        require_sound(_NAME, run_function(serve, batch, source.inputs, source.outputs), answer)
    changes = count_changes(before, operator_counts(graph), source.size_bytes, path.stat().st_size)
    return StepResult(format="frozen_graph", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _renamed(specs: Sequence[TensorSpec], tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, native=tensor.name) for spec, tensor in zip(specs, tensors, strict=True))


STEP = Freeze()
