"""Variants that every matrix may name without writing them out; the first that fits a model is its usual reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from .schema import ToleranceSection, VariantSection

#: Bring a model to a format: source format -> steps.
_TO_SAVED_MODEL: Mapping[str, tuple[Any, ...]] = {"saved_model": (), "keras": ("keras_to_saved_model",)}
_TO_FROZEN: Mapping[str, tuple[Any, ...]] = {
    "frozen_graph": (),
    **{format: (*steps, "freeze") for format, steps in _TO_SAVED_MODEL.items()},
}
_TO_ONNX: Mapping[str, tuple[Any, ...]] = {
    "onnx": (),
    **{format: (*steps, "saved_model_to_onnx") for format, steps in _TO_SAVED_MODEL.items()},
    "torch_module": ("torch_to_onnx",),
}
_TO_LEGACY_ONNX: Mapping[str, tuple[Any, ...]] = {
    **_TO_ONNX,
    "torch_module": ({"torch_to_onnx": {"exporter": "legacy"}},),
}
_TO_EXPORTED: Mapping[str, tuple[Any, ...]] = {"exported_program": (), "torch_module": ("torch_to_exported_program",)}
_TO_TORCHSCRIPT: Mapping[str, tuple[Any, ...]] = {"torchscript": (), "torch_module": ("torch_to_torchscript",)}
_TO_AOT_INDUCTOR: Mapping[str, tuple[Any, ...]] = {
    "aot_inductor": (),
    **{format: (*steps, "exported_program_to_aot_inductor") for format, steps in _TO_EXPORTED.items()},
}
_TO_TFLITE: Mapping[str, tuple[Any, ...]] = {
    "tflite": (),
    **{format: (*steps, "to_tflite") for format, steps in _TO_SAVED_MODEL.items()},
}
_TO_OPENVINO: Mapping[str, tuple[Any, ...]] = {
    "openvino_ir": (),
    **{format: (*steps, "to_openvino") for format, steps in _TO_ONNX.items()},
}
_TO_TENSORRT: Mapping[str, tuple[Any, ...]] = {
    "tensorrt_engine": (),
    **{format: (*steps, "onnx_to_tensorrt") for format, steps in _TO_ONNX.items()},
}

#: 8-bit weights move outputs by about a percent: judged by direction and by accuracy, not by the worst element.
_QUANTIZED = ToleranceSection(relative_error=None, cosine=0.98, accuracy_loss_ratio=0.02)
#: 16-bit floats carry 8 or 11 bits of every product.
_HALF = ToleranceSection(relative_error=None, cosine=0.999, accuracy_loss_ratio=0.01)


@cache
def standard_variants() -> Mapping[str, VariantSection]:
    """Name -> variant, unmodified models first."""
    return {**_tensorflow(), **_torch(), **_onnx(), **_openvino(), **_elsewhere()}


#: What a model that names no variants gets: cheap to build, and often the answer. The others cost a compiler, examples
#: or minutes, and are named by who wants them.
_USUAL = (
    "keras",
    "saved_model",
    "frozen",
    "frozen-int8",
    "tflite",
    "torch",
    "callable",
    "torchscript",
    "exported",
    "onnx",
    "onnx-int8",
    "openvino",
    "null",
)


def usual_variants(formats: Sequence[str]) -> Mapping[str, VariantSection]:
    """Name -> variant for a model of these formats that names none; all that fit where none of the usual ones does."""
    fitting = {name: each for name, each in standard_variants().items() if set(each.ways) & set(formats)}
    return {name: each for name, each in fitting.items() if name in _USUAL} or fitting


def _tensorflow() -> dict[str, VariantSection]:
    return {
        "keras": VariantSection(source="keras", adapter="tensorflow"),
        "saved_model": VariantSection(source=dict(_TO_SAVED_MODEL), adapter="tensorflow"),
        "xla": VariantSection(source=dict(_TO_SAVED_MODEL), adapter={"tensorflow": {"xla": True}}),
        "keras-torch": VariantSection(source="keras", adapter="keras_torch"),
        "keras-jax": VariantSection(source="keras", adapter="keras_jax"),
        "frozen": VariantSection(source=dict(_TO_FROZEN), adapter="tensorflow"),
        "frozen-folded": VariantSection(source=dict(_TO_FROZEN), steps=("strip", "fold"), adapter="tensorflow"),
        "frozen-int8": VariantSection(
            source=dict(_TO_FROZEN), steps=("strip", "quantize_weights"), adapter="tensorflow", tolerance=_QUANTIZED
        ),
        "tflite": VariantSection(source=dict(_TO_TFLITE), adapter="litert"),
        "tflite-fp16": VariantSection(source=_in_precision("float16"), adapter="litert", tolerance=_HALF),
        "tflite-int8-dynamic": VariantSection(
            source=_in_precision("dynamic_int8"), adapter="litert", tolerance=_QUANTIZED
        ),
        "tflite-int8": VariantSection(
            source={format: (*steps, "to_tflite_int8") for format, steps in _TO_SAVED_MODEL.items()},
            adapter="litert",
            tolerance=_QUANTIZED,
        ),
    }


def _in_precision(precision: str) -> dict[str, tuple[Any, ...]]:
    step = {"to_tflite": {"precision": precision}}
    return {format: (*steps, step) for format, steps in _TO_SAVED_MODEL.items()}


def _torch() -> dict[str, VariantSection]:
    return {
        "torch": VariantSection(source="torch_module", adapter="torch"),
        "callable": VariantSection(source="python_callable", adapter="torch"),
        "torch-channels-last": VariantSection(source="torch_module", adapter={"torch": {"channels_last": True}}),
        "torch-bf16": VariantSection(
            source="torch_module", adapter={"torch": {"precision": "bfloat16"}}, tolerance=_HALF
        ),
        "torch-compiled": VariantSection(source="torch_module", adapter={"torch": {"compile": "freezing"}}),
        "torchscript": VariantSection(source=dict(_TO_TORCHSCRIPT), adapter="torchscript"),
        "exported": VariantSection(source=dict(_TO_EXPORTED), adapter="torch"),
        "aot-inductor": VariantSection(source=dict(_TO_AOT_INDUCTOR), adapter="aot_inductor"),
        "torch-int8": VariantSection(
            source="torch_module",
            # Without frozen weights the operators stay apart, and the variant runs at the speed of floats.
            steps=("quantize_pt2e", {"exported_program_to_aot_inductor": {"freezing": True}}),
            adapter="aot_inductor",
            tolerance=_QUANTIZED,
        ),
        "torch-int8-weights": VariantSection(
            source="torch_module", steps=("quantize_torchao",), adapter="torch", tolerance=_QUANTIZED
        ),
    }


def _onnx() -> dict[str, VariantSection]:
    return {
        "onnx": VariantSection(source=dict(_TO_ONNX), adapter="onnxruntime"),
        "onnx-optimized": VariantSection(source=dict(_TO_ONNX), steps=("optimize_onnx",), adapter="onnxruntime"),
        "onnx-slim": VariantSection(source=dict(_TO_ONNX), steps=("slim_onnx",), adapter="onnxruntime"),
        "onnx-fp16": VariantSection(source=dict(_TO_ONNX), steps=("float16",), adapter="onnxruntime", tolerance=_HALF),
        "onnx-fused": VariantSection(source=dict(_TO_LEGACY_ONNX), steps=("fuse_transformer",), adapter="onnxruntime"),
        "onnx-int8": VariantSection(
            source=dict(_TO_ONNX), steps=("quantize_dynamic",), adapter="onnxruntime", tolerance=_QUANTIZED
        ),
        "onnx-int8-static": VariantSection(
            source=dict(_TO_ONNX), steps=("quantize_static",), adapter="onnxruntime", tolerance=_QUANTIZED
        ),
        "onnx-int4-weights": VariantSection(
            source=dict(_TO_ONNX), steps=("quantize_matmul",), adapter="onnxruntime", tolerance=_QUANTIZED
        ),
    }


def _openvino() -> dict[str, VariantSection]:
    return {
        "openvino": VariantSection(source=dict(_TO_OPENVINO), adapter="openvino"),
        "openvino-bf16": VariantSection(
            source=dict(_TO_OPENVINO), adapter={"openvino": {"precision": "bf16"}}, tolerance=_HALF
        ),
        "openvino-int8": VariantSection(
            source=dict(_TO_OPENVINO), steps=("quantize_openvino",), adapter="openvino", tolerance=_QUANTIZED
        ),
        "openvino-int8-weights": VariantSection(
            source=dict(_TO_OPENVINO), steps=("compress_openvino",), adapter="openvino", tolerance=_QUANTIZED
        ),
    }


def _elsewhere() -> dict[str, VariantSection]:
    return {
        "tensorrt": VariantSection(source=dict(_TO_TENSORRT), adapter="tensorrt"),
        "null": VariantSection(source="null", adapter="null"),
    }
