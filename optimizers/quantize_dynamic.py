"""Quantize the weights of an ONNX model to 8 bits; activations are quantized at run time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.onnx_file import EXTERNAL_DATA_FROM_BYTES, operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, checked_result, counts_of, has_own_operators, quantized_nodes

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_dynamic"
_HINT = "give it an ONNX file that ONNX Runtime can open; the log holds the library's own words"
_SLOW_CONVOLUTION = (
    "convolutions have QInt8 weights (ConvInteger), which x86 computes several times slower than QUInt8: "
    "take weight_type QUInt8, or op_types without Conv"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeDynamicOptions:
    """`weight_type`: QUInt8 is safe for convolutions, which are several times slower with QInt8 weights on x86.
    `op_types`: ONNX operators to quantize, all that can be when empty. `per_channel`: one scale per output channel."""

    weight_type: Literal["QUInt8", "QInt8"] = "QUInt8"
    op_types: tuple[str, ...] = ()
    per_channel: bool = False


class QuantizeDynamic:
    """`onnxruntime.quantization.quantize_dynamic` on the model in memory."""

    Options = QuantizeDynamicOptions

    def blockers(self, source_format: str, options: QuantizeDynamicOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: QuantizeDynamicOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` with the same inputs and outputs and 8-bit weights."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(
    source: Artifact, options: QuantizeDynamicOptions, out_dir: Path, examples: Examples | None
) -> StepResult:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source.path)
    before = operator_counts(model)
    path = out_dir / FILE_NAME
    _require_known(options.op_types)
    # The library infers the shapes again; those that torch's exporter stores for weights would contradict the
    # weights that it transposes (Gemm becomes MatMul), and it would fail.
    del model.graph.value_info[:]
    # Given a path instead of the model, the library writes a temporary file beside the source.
    quantize_dynamic(
        model,
        path,
        op_types_to_quantize=list(options.op_types),
        per_channel=options.per_channel,
        weight_type=QuantType[options.weight_type],
        use_external_data_format=source.size_bytes > EXTERNAL_DATA_FROM_BYTES,
        # No types are inferred behind fused operators of ONNX Runtime; what is quantized there is float32.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT} if has_own_operators(model) else {},
    )
    after = counts_of(path)
    _require_quantized(source, before, after)
    slow = after["ConvInteger"] > before["ConvInteger"] and options.weight_type == "QInt8"
    return checked_result(_NAME, source, before, path, examples, [_SLOW_CONVOLUTION] if slow else [])


def _require_known(op_types: Sequence[str]) -> None:
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    unknown = sorted(set(op_types) - set(IntegerOpsRegistry))
    if unknown:
        raise StepFailed(
            f"{_NAME}: op_types has {', '.join(unknown)}, which cannot be quantized dynamically",
            hint=f"choose from {', '.join(sorted(IntegerOpsRegistry))}",
        )


def _require_quantized(source: Artifact, before: Counter[str], after: Counter[str]) -> None:
    if quantized_nodes(after) == quantized_nodes(before):
        raise StepFailed(
            f"{_NAME}: {source.path} has no operator with constant weights that can be quantized",
            hint="name other op_types, or leave the variant out",
        )


STEP = QuantizeDynamic()
