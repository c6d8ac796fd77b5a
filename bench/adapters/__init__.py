"""Framework runtimes behind one contract: `open(artifact, threads=..., options=...)` gives a session to call."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

#: `accepts` are the artifact formats that an adapter can open.
ADAPTERS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="aot_inductor",
        target="bench.adapters.aot_inductor:ADAPTER",
        summary="native code compiled ahead of time by PyTorch for this CPU",
        needs=("torch",),
        accepts=("aot_inductor",),
    ),
    PluginSpec(
        name="keras_jax",
        target="bench.adapters.keras_jax:ADAPTER",
        summary="Keras on JAX on the CPU, compiled",
        needs=("jax", "keras"),
        accepts=("keras",),
    ),
    PluginSpec(
        name="keras_torch",
        target="bench.adapters.keras_torch:ADAPTER",
        summary="Keras on PyTorch on the CPU, eager",
        needs=("torch", "keras"),
        accepts=("keras",),
    ),
    PluginSpec(
        name="litert",
        target="bench.adapters.litert:ADAPTER",
        summary="LiteRT (TensorFlow Lite) on the CPU",
        needs=("ai_edge_litert",),
        accepts=("tflite",),
    ),
    PluginSpec(
        name="null",
        target="bench.adapters.null:ADAPTER",
        summary="no framework: imitates a model with known times, and fails on request",
        accepts=("null",),
    ),
    PluginSpec(
        name="onnxruntime",
        target="bench.adapters.onnxruntime:ADAPTER",
        summary="ONNX Runtime on the CPU",
        needs=("onnxruntime",),
        accepts=("onnx",),
    ),
    PluginSpec(
        name="openvino",
        target="bench.adapters.openvino:ADAPTER",
        summary="OpenVINO on the CPU, in a declared precision",
        needs=("openvino",),
        accepts=("openvino_ir", "onnx", "tflite"),
    ),
    PluginSpec(
        name="tensorflow",
        target="bench.adapters.tensorflow:ADAPTER",
        summary="TensorFlow graph functions on the CPU, with XLA as an option",
        needs=("tensorflow",),
        accepts=("keras", "saved_model", "frozen_graph"),
    ),
    PluginSpec(
        name="tensorrt",
        target="bench.adapters.tensorrt:ADAPTER",
        summary="TensorRT engines on a CUDA device, transfers included",
        devices=("gpu",),
        accepts=("tensorrt_engine",),
        needs_one_of=("tensorrt", "tensorrt_rtx"),
    ),
    PluginSpec(
        name="torch",
        target="bench.adapters.torch:ADAPTER",
        summary="PyTorch on the CPU, eager or compiled",
        needs=("torch",),
        accepts=("torch_module", "exported_program", "python_callable"),
    ),
    PluginSpec(
        name="torchscript",
        target="bench.adapters.torchscript:ADAPTER",
        summary="TorchScript on the CPU",
        needs=("torch",),
        accepts=("torchscript",),
    ),
)
