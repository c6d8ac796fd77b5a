"""Store the constant matrices of an ONNX model in 4 or 8 bits, in blocks with a scale each (MatMulNBits)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.onnx_file import operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, checked_result, counts_of, save_model

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "quantize_matmul"
_HINT = "choose another block_size (a power of two from 16 on); the log holds the library's own words"
_OWN_OPERATOR = "holds MatMulNBits, an operator of ONNX Runtime that other runtimes do not know"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeMatmulOptions:
    """`bits` per weight; `block_size` weights share a scale; `symmetric` without a zero point. `accuracy_level` is
    the least precise type that products may be computed in: 0 as the runtime likes, 1 float32, 4 int8."""

    bits: Literal[4, 8] = 4
    block_size: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True
    accuracy_level: Literal[0, 1, 4] = 4


class QuantizeMatmul:
    """`onnxruntime.quantization.matmul_nbits_quantizer.MatMulNBitsQuantizer` on the model in memory."""

    Options = QuantizeMatmulOptions

    def blockers(self, source_format: str, options: QuantizeMatmulOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: QuantizeMatmulOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` in which every MatMul with a constant matrix is a MatMulNBits."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(source: Artifact, options: QuantizeMatmulOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(source.path)
    before = operator_counts(model)
    quantizer = MatMulNBitsQuantizer(
        model,
        bits=options.bits,
        block_size=options.block_size,
        is_symmetric=options.symmetric,
        accuracy_level=options.accuracy_level,
    )
    quantizer.process()
    path = out_dir / FILE_NAME
    save_model(source, quantizer.model.model, path)
    if counts_of(path)["MatMulNBits"] == before["MatMulNBits"]:
        raise StepFailed(
            f"{_NAME}: {source.path} has no MatMul with a constant matrix",
            hint="a Gemm or a convolution is not quantized by this step: take quantize_dynamic or quantize_static",
        )
    return checked_result(_NAME, source, before, path, examples, [_OWN_OPERATOR])


STEP = QuantizeMatmul()
