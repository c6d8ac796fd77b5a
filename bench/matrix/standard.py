"""Variants that every matrix may name without writing them out; the first that fits a model is its usual reference."""

from __future__ import annotations

from collections.abc import Mapping
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
_TO_EXPORTED: Mapping[str, tuple[Any, ...]] = {"exported_program": (), "torch_module": ("torch_to_exported_program",)}

#: 8-bit weights move outputs by about a percent: judged by direction and by accuracy, not by the worst element.
_QUANTIZED = ToleranceSection(relative_error=None, cosine=0.98, accuracy_loss_ratio=0.02)


@cache
def standard_variants() -> Mapping[str, VariantSection]:
    """Name -> variant, unmodified models first."""
    return {
        "keras": VariantSection(source="keras", adapter="tensorflow"),
        "saved_model": VariantSection(source=dict(_TO_SAVED_MODEL), adapter="tensorflow"),
        "torch": VariantSection(source="torch_module", adapter="torch"),
        "callable": VariantSection(source="python_callable", adapter="torch"),
        "exported": VariantSection(source=dict(_TO_EXPORTED), adapter="torch"),
        "frozen": VariantSection(source=dict(_TO_FROZEN), adapter="tensorflow"),
        "frozen-int8": VariantSection(
            source=dict(_TO_FROZEN), steps=("strip", "quantize_weights"), adapter="tensorflow", tolerance=_QUANTIZED
        ),
        "onnx": VariantSection(source=dict(_TO_ONNX), adapter="onnxruntime"),
        "onnx-int8": VariantSection(
            source=dict(_TO_ONNX), steps=("quantize_dynamic",), adapter="onnxruntime", tolerance=_QUANTIZED
        ),
        "null": VariantSection(source="null", adapter="null"),
    }
