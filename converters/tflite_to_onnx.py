"""Write a TensorFlow Lite file as ONNX, with tf2onnx."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact, Change
from bench.core.contracts import StepResult
from bench.formats.examples import check_batches, require_sound
from bench.formats.onnx_file import model_size_bytes, operator_counts, run_onnx
from bench.formats.steps import only_step_failures, table_blockers
from bench.formats.tflite_file import operator_counts as tflite_operator_counts
from bench.formats.tflite_file import run_tflite

from .onnx_interface import name_interface

if TYPE_CHECKING:
    from bench.core.contracts import Examples

_NAME = "tflite_to_onnx"
_HINT = "an operator may have no ONNX form; the log holds tf2onnx's own words"
_OPSET = 18  # the newest that tf2onnx writes


@dataclass(frozen=True, kw_only=True, slots=True)
class TfliteToOnnxOptions:
    """There is nothing to choose."""


class TfliteToOnnx:
    """`tf2onnx.convert.from_tflite`, opset 18; what is quantized in the file stays so, as QDQ pairs."""

    Options = TfliteToOnnxOptions

    def blockers(self, source_format: str, options: TfliteToOnnxOptions) -> Sequence[str]:
        """What the table line says is missing."""
        return table_blockers(_NAME, source_format)

    def apply(
        self, source: Artifact, options: TfliteToOnnxOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx`, named by canonical names; the layout of images stays channels last."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _convert(source, out_dir, examples)


def _convert(source: Artifact, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx
    import tf2onnx

    model, _ = tf2onnx.convert.from_tflite(
        source.path,
        input_names=[spec.native_name for spec in source.inputs],
        output_names=[spec.native_name for spec in source.outputs],
        opset=_OPSET,
        custom_op_handlers={"TFL_GELU": (_write_gelu, [])},
    )
    inputs = tuple(replace(spec, native="") for spec in source.inputs)
    outputs = tuple(replace(spec, native="") for spec in source.outputs)
    name_interface(_NAME, model, inputs, outputs)
    path = out_dir / "model.onnx"
    onnx.save(model, path)

    batches = check_batches(inputs, examples)
    expected = run_tflite(Path(source.path), batches, source.inputs, source.outputs)
    for reference, answer in zip(expected, run_onnx(path, batches, inputs, outputs), strict=True):
        require_sound(_NAME, reference, answer)
    before, after = tflite_operator_counts(Path(source.path)), operator_counts(model)
    changes = (
        Change(what="bytes", before=source.size_bytes, after=model_size_bytes(path)),
        Change(what="nodes", before=before.total(), after=after.total()),
    )
    return StepResult(format="onnx", path=path, inputs=inputs, outputs=outputs, changes=changes)


def _write_gelu(context: Any, node: Any, name: str, _arguments: Sequence[Any]) -> None:
    """gelu(x) = x / 2 * (1 + erf(x / sqrt 2)); the approximation is sqrt(2 / pi) * (x + 0.044715 * x^3) through tanh
    (Hendrycks and Gimpel, arXiv:1606.08415). tf2onnx alone leaves the node as it is, though opset 18 has no such one.
    """
    import numpy as np

    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    x, outputs = node.input[0], node.output
    is_approximate = bool(node.get_attr_value("approximate", False))
    context.remove_node(node.name)

    def constant(value: float) -> str:
        made: str = context.make_const(f"{name}_{value}", np.array(value, np.float32)).output[0]
        return made

    def make(operator: str, *edges: str, **names: Any) -> str:
        made: str = context.make_node(operator, list(edges), dtypes=[dtype], shapes=[shape], **names).output[0]
        return made

    if is_approximate:
        cube = make("Mul", make("Mul", x, x), make("Mul", x, constant(0.044715)))
        inner = make("Tanh", make("Mul", make("Add", x, cube), constant(math.sqrt(2 / math.pi))))
    else:
        inner = make("Erf", make("Mul", x, constant(math.sqrt(0.5))))
    half = make("Mul", x, constant(0.5))
    make("Mul", half, make("Add", inner, constant(1.0)), outputs=outputs, name=name)


STEP = TfliteToOnnx()
