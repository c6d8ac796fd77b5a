"""Optimizers: steps that make a model smaller or quicker for the runtime that reads it; one module each."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

#: `freeze` turns variables into constants, which changes the format, and lives here because it is asked for as one.
STEPS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="fold",
        target="optimizers.fold:STEP",
        summary="compute once what no input decides, batch normalization included (Grappler)",
        needs=("tensorflow",),
        accepts=("frozen_graph",),
        produces="frozen_graph",
    ),
    PluginSpec(
        name="freeze",
        target="optimizers.freeze:STEP",
        summary="turn a SavedModel's variables into constants of one graph",
        needs=("tensorflow",),
        accepts=("saved_model",),
        produces="frozen_graph",
    ),
    PluginSpec(
        name="quantize_dynamic",
        target="optimizers.quantize_dynamic:STEP",
        summary="8-bit weights, activations quantized at run time (ONNX Runtime)",
        needs=("onnx", "onnxruntime"),
        accepts=("onnx",),
        produces="onnx",
    ),
    PluginSpec(
        name="quantize_weights",
        target="optimizers.quantize_weights:STEP",
        summary="8-bit weights, dequantized at run time (TensorFlow's graph transform)",
        needs=("tensorflow",),
        accepts=("frozen_graph",),
        produces="frozen_graph",
    ),
    PluginSpec(
        name="strip",
        target="optimizers.strip:STEP",
        summary="remove nodes that inference does not need",
        needs=("tensorflow",),
        accepts=("frozen_graph",),
        produces="frozen_graph",
    ),
)
