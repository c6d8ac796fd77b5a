"""Looks inside a cell in a second pass, never the timed one: operators, lines, functions and events on one clock."""

from __future__ import annotations

from bench.core.plugins import PluginSpec

#: `accepts` are the adapters that a profiler looks into; none named stands for every adapter.
PROFILERS: tuple[PluginSpec, ...] = (
    PluginSpec(
        name="cprofile",
        target="bench.profile.cprofile:PROFILER",
        summary="functions, of Python and native, with Python's own cProfile",
    ),
    PluginSpec(
        name="line_profiler",
        target="bench.profile.lines:PROFILER",
        summary="lines of the adapter, of the bound call and of your own Python",
        needs=("line_profiler",),
    ),
    PluginSpec(
        name="litert",
        target="bench.profile.litert:PROFILER",
        summary="kernels of XNNPACK and of LiteRT's interpreter, with LiteRT's profiling",
        needs=("ai_edge_litert",),
        accepts=("litert",),
    ),
    PluginSpec(
        name="onnxruntime",
        target="bench.profile.onnxruntime:PROFILER",
        summary="nodes that ONNX Runtime executes, with its own profiling",
        needs=("onnxruntime",),
        accepts=("onnxruntime",),
    ),
    PluginSpec(
        name="openvino",
        target="bench.profile.openvino:PROFILER",
        summary="nodes and kernels of OpenVINO, with its performance counters",
        needs=("openvino",),
        accepts=("openvino",),
    ),
    PluginSpec(
        name="tensorflow",
        target="bench.profile.tensorflow:PROFILER",
        summary="kernels that TensorFlow or XLA executes, with TensorFlow's profiler",
        needs=("tensorflow",),
        accepts=("tensorflow",),
    ),
    PluginSpec(
        name="torch",
        target="bench.profile.torch:PROFILER",
        summary="operators that PyTorch dispatches and loops it compiled, with torch.profiler",
        needs=("torch",),
        accepts=("aot_inductor", "keras_torch", "torch", "torchscript"),
    ),
)
