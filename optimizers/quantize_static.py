"""Quantize weights and activations of an ONNX model to 8 bits, with ranges learnt from examples (QDQ)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.formats.examples import batches_of
from bench.formats.onnx_file import EXTERNAL_DATA_FROM_BYTES, operator_counts
from bench.formats.steps import only_step_failures, table_blockers

from .onnx_models import FILE_NAME, checked_result, save_model
from .processor import arithmetic

if TYPE_CHECKING:
    from bench.core.contracts import Batch, Examples

_NAME = "quantize_static"
_HINT = "name the operators to quantize by op_types; the log holds the library's own words"
_BIASED = {"Conv", "ConvTranspose", "Gemm", "LayerNormalization"}
_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
#: Batches whose activations are held in memory at a time. The first of them set the width of a histogram's bins: with
#: few, what comes later can need so many bins that the search for the best range takes hours.
_HISTOGRAM_BATCHES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeStaticOptions:
    """`calibration` finds ranges from at most `samples` examples. `op_types`: ONNX operators to quantize, all that
    can be when empty. `per_channel`: one scale per output channel of a weight.

    The types are right for this CPU when `auto`: 8-bit products that saturate are avoided by `reduce_range` (7-bit
    weights) where it has no instructions for them. `symmetric` is what TensorRT reads: no zero points, float biases.
    """

    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    samples: int = 128
    per_channel: bool = True
    op_types: tuple[str, ...] = ()
    activation_type: Literal["auto", "QUInt8", "QInt8"] = "auto"
    weight_type: Literal["auto", "QUInt8", "QInt8"] = "auto"
    reduce_range: Literal["auto", "yes", "no"] = "auto"
    symmetric: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Types:
    activation: str
    weight: str
    reduce_range: bool


class QuantizeStatic:
    """`quant_pre_process`, then `onnxruntime.quantization.quantize_static` in QDQ form."""

    Options = QuantizeStaticOptions

    def blockers(self, source_format: str, options: QuantizeStaticOptions) -> Sequence[str]:
        """What the table line says is missing, and symmetric activations of a type that has no sign."""
        reasons = table_blockers(_NAME, source_format)
        if options.symmetric and options.activation_type == "QUInt8":
            reasons.append(f"{_NAME}: QUInt8 is never symmetric: choose activation_type QInt8, or leave out symmetric")
        return reasons

    def apply(
        self, source: Artifact, options: QuantizeStaticOptions, out_dir: Path, examples: Examples | None
    ) -> StepResult:
        """Write `model.onnx` with the same inputs and outputs, 8-bit weights and pairs of Quantize and Dequantize."""
        with only_step_failures(_NAME, source, hint=_HINT):
            return _quantize(source, options, out_dir, examples)


def _quantize(source: Artifact, options: QuantizeStaticOptions, out_dir: Path, examples: Examples | None) -> StepResult:
    import onnx

    _require_known(options.op_types)
    model = onnx.load(source.path)
    before, weights_before = operator_counts(model), _quantized_weights(model)
    batches = _calibration_batches(source, options, examples)
    types = _types(options)
    path = out_dir / FILE_NAME
    with tempfile.TemporaryDirectory() as directory:
        prepared = _prepare(source, model, Path(directory))
        _write(source, options, types, prepared, batches, path)
    if _quantized_weights(onnx.load(path, load_external_data=False)) <= weights_before:
        raise StepFailed(
            f"{_NAME}: {source.path} has no operator with constant weights that can be quantized",
            hint="name other op_types, or leave the variant out",
        )
    return checked_result(_NAME, source, before, path, examples, [_note(options, types, batches)])


def _prepare(source: Artifact, model: Any, directory: Path) -> Path:
    """Fold constants and batch norms first: once quantized they stay where they are."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    del model.graph.value_info[:]  # as torch's exporter stores them they can contradict what is inferred
    _give_own_biases(model.graph)
    plain, prepared = directory / "plain.onnx", directory / FILE_NAME
    # Given the model instead of a path, the library loses the values of shapes, logs the error and goes on.
    save_model(source, model, plain)
    is_large = source.size_bytes > EXTERNAL_DATA_FROM_BYTES
    # Symbolic inference of shapes gives up on many graphs, and the quantizer needs no more than types.
    quant_pre_process(plain, prepared, skip_symbolic_shape=True, save_as_external_data=is_large)
    return prepared


def _give_own_biases(graph: Any) -> None:
    """Copy a bias that several nodes share: the library's copies are called like values that may exist already."""
    from onnx import TensorProto

    constants = {tensor.name: tensor for tensor in graph.initializer}
    seen: set[str] = set()
    for position, node in enumerate(graph.node):
        if node.op_type not in _BIASED or len(node.input) < 3 or node.input[2] not in constants:
            continue
        name = node.input[2]
        if name in seen:
            copy = TensorProto()
            copy.CopyFrom(constants[name])
            copy.name = node.input[2] = f"{name}__of_node_{position}"
            graph.initializer.append(copy)
        seen.add(name)


def _write(
    source: Artifact,
    options: QuantizeStaticOptions,
    types: _Types,
    prepared: Path,
    batches: Sequence[Batch],
    path: Path,
) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    extra: dict[str, Any] = {}
    if options.symmetric:
        extra |= {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    if options.calibration != "minmax":
        extra["CalibStridedMinMax"] = min(_HISTOGRAM_BATCHES, len(batches))
    quantize_static(
        prepared,
        path,
        _reader(source, batches),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(options.op_types) or None,
        per_channel=options.per_channel,
        reduce_range=types.reduce_range,
        activation_type=QuantType[types.activation],
        weight_type=QuantType[types.weight],
        use_external_data_format=source.size_bytes > EXTERNAL_DATA_FROM_BYTES,
        calibrate_method=CalibrationMethod[_METHODS[options.calibration]],
        extra_options=extra,
    )


def _reader(source: Artifact, batches: Sequence[Batch]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is untyped here
        """The batches as feeds by the file's own names, all of them or a range."""

        def __init__(self) -> None:
            self.set_range(0, len(batches))

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._left = iter(batches[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._left, None)
            return None if batch is None else {spec.native_name: batch[spec.name] for spec in source.inputs}

    return Reader()


def _calibration_batches(source: Artifact, options: QuantizeStaticOptions, examples: Examples | None) -> list[Batch]:
    """Of one sample each, or of as many as the model's fixed batch demands, `samples` in all."""
    if options.samples < 1:
        raise StepFailed(f"{_NAME}: samples is {options.samples}", hint="calibrate with at least one, better with 100")
    found = [] if examples is None else batches_of(examples, source.inputs, size=1, count=options.samples)
    if not found:
        raise StepFailed(
            f"{_NAME} has no examples to learn the ranges of activations from",
            hint="give the model `examples:` in the matrix, as many as its batch holds or more",
        )
    count = min(len(found), max(1, options.samples // len(next(iter(found[0].values())))))
    if options.calibration != "minmax":  # the library takes whole groups only
        count -= count % min(_HISTOGRAM_BATCHES, count)
    return list(found[:count])


def _types(options: QuantizeStaticOptions) -> _Types:
    kind = arithmetic()
    # x86 multiplies unsigned by signed; ARM's products are signed, and so are TensorRT's.
    signed = options.symmetric or kind == "arm"
    activation = ("QInt8" if signed else "QUInt8") if options.activation_type == "auto" else options.activation_type
    weight = "QInt8" if options.weight_type == "auto" else options.weight_type
    saturates = kind == "x86" and weight == "QInt8" and not options.symmetric
    reduce_range = saturates if options.reduce_range == "auto" else options.reduce_range == "yes"
    return _Types(activation=activation, weight=weight, reduce_range=reduce_range)


def _note(options: QuantizeStaticOptions, types: _Types, batches: Sequence[Batch]) -> str:
    samples = sum(len(next(iter(batch.values()))) for batch in batches)
    bits = " in 7 bits" if types.reduce_range else ""
    return (
        f"activations {types.activation} with ranges from {samples} examples ({options.calibration}), "
        f"weights {types.weight}{bits}, chosen on a CPU of kind {arithmetic()}"
    )


def _require_known(op_types: Sequence[str]) -> None:
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    known = {*QDQRegistry, *QLinearOpsRegistry}
    unknown = sorted(set(op_types) - known)
    if unknown:
        raise StepFailed(
            f"{_NAME}: op_types has {', '.join(unknown)}, which cannot be quantized",
            hint=f"choose from {', '.join(sorted(known))}",
        )


def _quantized_weights(model: Any) -> int:
    """Constants of 8 bits that a DequantizeLinear expands; zero points are none of them."""
    from onnx import TensorProto

    narrow = {
        tensor.name for tensor in model.graph.initializer if tensor.data_type in {TensorProto.INT8, TensorProto.UINT8}
    }
    return len({node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"} & narrow)


STEP = QuantizeStatic()
