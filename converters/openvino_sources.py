"""What OpenVINO can read: each format as an OpenVINO model with its ports in our order, and its own answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import Artifact
from bench.formats.frozen_graph import read_graph, run_graph, tensor_name
from bench.formats.onnx_file import run_onnx
from bench.formats.openvino_ir import port_of
from bench.formats.saved_model import run_function, serving_function
from bench.formats.tflite_file import run_tflite
from bench.formats.torch_source import load_source, run_module

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch, Examples

    Run = Callable[[Sequence[Batch]], Sequence[Mapping[str, Array]]]

#: Packages that the check of a source needs beside OpenVINO.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "saved_model": ("tensorflow",),
    "frozen_graph": ("tensorflow",),
    "tflite": ("ai_edge_litert",),
    "torch_module": ("torch", "safetensors"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """`input_ports` and `output_ports` stand in the order of the artifact's tensors; `run` asks the source's own
    framework."""

    model: Any
    input_ports: Sequence[Any]
    output_ports: Sequence[Any]
    run: Run


def read_source(source: Artifact, examples: Examples | None) -> Read:
    """Convert the source in memory; raises what the libraries raise."""
    if source.format == "torch_module":
        return _from_torch(source, examples)
    if source.format == "frozen_graph":
        return _from_frozen_graph(source)
    return _from_file(source)


def _from_file(source: Artifact) -> Read:
    """Files whose tensors OpenVINO calls as the file does."""
    import openvino

    model = openvino.convert_model(source.path)
    path, inputs, outputs = Path(source.path), source.inputs, source.outputs

    def run(batches: Sequence[Batch]) -> Sequence[Mapping[str, Array]]:
        if source.format == "onnx":
            answers: Sequence[Mapping[str, Array]] = run_onnx(path, batches, inputs, outputs)
            return answers
        if source.format == "tflite":
            return run_tflite(path, batches, inputs, outputs)
        serve = serving_function(path, inputs, outputs)
        return [run_function(serve, batch, inputs, outputs) for batch in batches]

    return Read(
        model=model,
        input_ports=[port_of(model.inputs, spec.native_name, place=source.path) for spec in inputs],
        output_ports=[port_of(model.outputs, spec.native_name, place=source.path) for spec in outputs],
        run=run,
    )


def _from_frozen_graph(source: Artifact) -> Read:
    import openvino

    input_names = [tensor_name(spec) for spec in source.inputs]
    output_names = [tensor_name(spec) for spec in source.outputs]
    # Without the names every node that feeds nothing would become an output.
    model = openvino.convert_model(source.path, input=input_names, output=output_names)
    return Read(
        model=model,
        input_ports=[port_of(model.inputs, name, place=source.path) for name in input_names],
        output_ports=[port_of(model.outputs, name, place=source.path) for name in output_names],
        run=lambda batches: run_graph(read_graph(Path(source.path)), batches, source.inputs, source.outputs),
    )


def _from_torch(source: Artifact, examples: Examples | None) -> Read:
    """The module is traced; OpenVINO takes its inputs by position and lets every axis be dynamic."""
    import openvino

    torch_source = load_source(source, examples)
    model = openvino.convert_model(torch_source.module, example_input=torch_source.example)
    by_name = {spec.name: port for spec, port in zip(torch_source.outputs, model.outputs, strict=True)}

    def run(batches: Sequence[Batch]) -> Sequence[Mapping[str, Array]]:
        return [run_module(torch_source.module, batch, source.inputs, torch_source.outputs) for batch in batches]

    return Read(
        model=model,
        input_ports=model.inputs,
        output_ports=[by_name[spec.name] for spec in source.outputs],
        run=run,
    )
