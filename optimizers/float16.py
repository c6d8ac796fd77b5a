"""Store and compute an ONNX model in 16-bit floats; its inputs and outputs keep their types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.onnx_file import all_graphs, operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, checked_result, save_model

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "float16"
_HINT = "keep the operators that overflow or are not known in 32 bits: op_block_list"
_CPU_NOTE = "on a CPU ONNX Runtime computes most operators in 32 bits and casts between: half the bytes, no more speed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Float16Options:
    """`op_block_list`: ONNX operators that stay in 32 bits, beside those that the library keeps there anyway."""

    op_block_list: tuple[str, ...] = ()


class Float16:
    """`onnxruntime.transformers.float16.convert_float_to_float16` with `keep_io_types`."""

    Options = Float16Options

    def blockers(self, source_format: str, options: Float16Options) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(self, source: Artifact, options: Float16Options, out_dir: Path, examples: Examples | None) -> StepResult:
        """Write `model.onnx` with the same inputs and outputs and about half the bytes."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, options, out_dir, examples)


def _convert(source: Artifact, options: Float16Options, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(source.path)
    before, halves_before = operator_counts(model), _half_tensors(model)
    blocked = [*DEFAULT_OP_BLOCK_LIST, *options.op_block_list]
    half = convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked)
    if _half_tensors(half) == halves_before:
        raise StepFailed(
            f"{_NAME}: {source.path} has no 32-bit weights outside the blocked operators",
            hint="shorten op_block_list, or leave the variant out",
        )
    OnnxModel(half).topological_sort()  # the library puts the casts of inputs at the end of the graph
    path = out_dir / FILE_NAME
    save_model(source, half, path)
    return checked_result(_NAME, source, before, path, examples, [_CPU_NOTE])


def _half_tensors(model: Any) -> int:
    """How many constants are 16-bit floats."""
    from onnx import TensorProto

    return sum(
        tensor.data_type == TensorProto.FLOAT16
        for graph in all_graphs(model.graph)
        for tensor in (
            *graph.initializer,
            *(value.t for node in graph.node if node.op_type == "Constant" for value in node.attribute),
        )
    )


STEP = Float16()
