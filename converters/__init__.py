"""Converters: steps that write a model in another format with the same weights; one module each."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

STEPS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="frozen_graph_to_saved_model",
        target="converters.frozen_graph_to_saved_model:STEP",
        summary="frozen graph, optimized or not, to a SavedModel that can be served",
        needs=("tensorflow",),
        accepts=("frozen_graph",),
        produces="saved_model",
    ),
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
        name="tflite_to_onnx",
        target="converters.tflite_to_onnx:STEP",
        summary="TensorFlow Lite to ONNX, quantized parts as QDQ (tf2onnx)",
        needs=("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert"),
        accepts=("tflite",),
        produces="onnx",
    ),
    PluginSpec(
        name="to_openvino",
        target="converters.to_openvino:STEP",
        summary="ONNX, TensorFlow, TFLite or PyTorch to OpenVINO IR with dynamic dimensions",
        needs=("openvino",),
        accepts=("onnx", "saved_model", "frozen_graph", "tflite", "torch_module"),
        produces="openvino_ir",
    ),
    PluginSpec(
        name="to_tflite",
        target="converters.to_tflite:STEP",
        summary="TensorFlow graph to TensorFlow Lite, in float or with 16-bit or 8-bit weights",
        needs=("tensorflow", "ai_edge_litert"),
        accepts=("saved_model", "frozen_graph"),
        produces="tflite",
    ),
    PluginSpec(
        name="to_tflite_int8",
        target="converters.to_tflite:STEP_INT8",
        summary="TensorFlow graph to TensorFlow Lite in 8-bit integers throughout, calibrated on examples",
        needs=("tensorflow", "ai_edge_litert"),
        accepts=("saved_model", "frozen_graph"),
        produces="tflite",
        learns_from="inputs",
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
