"""Write a frozen graph as ONNX, with tf2onnx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.frozen_graph import operator_counts as graph_operator_counts
from bench.formats.frozen_graph import read_graph, run_graph
from bench.formats.onnx_file import model_size_bytes, operator_counts, run_onnx
from bench.formats.steps import only_step_failures, table_blockers

from .tf2onnx_calls import canonical, write_frozen_as_onnx

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "frozen_graph_to_onnx"
_HINT = "an operator may have no ONNX form; the log holds tf2onnx's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenGraphToOnnxOptions:
    """There is nothing to choose."""


class FrozenGraphToOnnx:
    """`tf2onnx.convert.from_graph_def` over the graph as it is, opset 18, every named dimension dynamic."""

    Options = FrozenGraphToOnnxOptions

    def blockers(self, source_format: str, options: FrozenGraphToOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: FrozenGraphToOnnxOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx`, named by canonical names; the layout of images stays channels last."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    graph = read_graph(Path(source.path))
    inputs, outputs = canonical(source.inputs), canonical(source.outputs)
    path = out_dir / "model.onnx"
    model = write_frozen_as_onnx(_NAME, graph, source.inputs, source.outputs, path)

    batches = check_batches(inputs, examples)
    expected = run_graph(graph, batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, run_onnx(path, batches, inputs, outputs), strict=True):
        require_sound(_NAME, reference, answer)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=model_size_bytes(path)),
        Change(what="nodes", before=graph_operator_counts(graph).total(), after=operator_counts(model).total()),
    )
    return StepResult(format="onnx", path=path, inputs=inputs, outputs=outputs, changes=changes)


STEP = FrozenGraphToOnnx()
