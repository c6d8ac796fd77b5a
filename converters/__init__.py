"""Converters: steps that write a model in another format with the same weights; one module each."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

STEPS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="keras_to_saved_model",
        target="converters.keras_to_saved_model:STEP",
        summary="Keras model to a SavedModel with one named serving signature",
        needs=("tensorflow", "keras"),
        accepts=("keras",),
        produces="saved_model",
    ),
    PluginSpec(
        name="saved_model_to_onnx",
        target="converters.saved_model_to_onnx:STEP",
        summary="SavedModel to ONNX (tf2onnx)",
        needs=("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
        accepts=("saved_model",),
        produces="onnx",
    ),
    PluginSpec(
        name="torch_to_exported_program",
        target="converters.torch_to_exported_program:STEP",
        summary="PyTorch module to an exported program with dynamic dimensions (torch.export)",
        needs=("torch", "safetensors"),
        accepts=("torch_module",),
        produces="exported_program",
    ),
    PluginSpec(
        name="torch_to_onnx",
        target="converters.torch_to_onnx:STEP",
        summary="PyTorch module to ONNX with dynamic dimensions (torch.onnx)",
        needs=("torch", "safetensors", "onnx", "onnxscript", "onnxruntime"),
        accepts=("torch_module",),
        produces="onnx",
    ),
)
