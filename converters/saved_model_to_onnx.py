"""Write a SavedModel as ONNX, with tf2onnx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change, TensorSpec
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.onnx_file import model_size_bytes, run_onnx
from bench.formats.saved_model import frozen_function, run_function, serving_function
from bench.formats.steps import only_step_failures, table_blockers

from .tf2onnx_calls import canonical, write_frozen_as_onnx

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "saved_model_to_onnx"
_HINT = "an operator may have no ONNX form; the log holds tf2onnx's own words"


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedModelToOnnxOptions:
    """There is nothing to choose."""


class SavedModelToOnnx:
    """`tf2onnx.convert.from_graph_def` over the frozen serving signature, opset 18, every named dimension dynamic."""

    Options = SavedModelToOnnxOptions

    def blockers(self, source_format: str, options: SavedModelToOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: SavedModelToOnnxOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx`, named by canonical names; the layout of images stays channels last."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    serve = serving_function(Path(source.path), source.inputs, source.outputs)
    # Frozen first: tf2onnx would turn captured constants into inputs, and leave variables inside as they are.
    frozen = frozen_function(serve, lower_control_flow=False)
    inputs, outputs = canonical(source.inputs), canonical(source.outputs)
    path = out_dir / "model.onnx"
    model = write_frozen_as_onnx(
        _NAME, frozen.graph.as_graph_def(), _natives(inputs, frozen.inputs), _natives(outputs, frozen.outputs), path
    )
    batches = check_batches(inputs, examples)
    for batch, answer in zip(batches, run_onnx(path, batches, inputs, outputs), strict=True):
        require_sound(_NAME, run_function(serve, batch, source.inputs, source.outputs), answer)
    variables = serve.get_concrete_function().captured_inputs
    changes = (
        Change(what="bytes", before=source.size_bytes, after=model_size_bytes(path)),
        Change(what="tensors", before=len(variables), after=len(model.graph.initializer)),
    )
    return StepResult(format="onnx", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _natives(specs: Sequence[TensorSpec], tensors: Sequence[Any]) -> list[TensorSpec]:
    return [replace(spec, native=tensor.name) for spec, tensor in zip(specs, tensors, strict=True)]


STEP = SavedModelToOnnx()
