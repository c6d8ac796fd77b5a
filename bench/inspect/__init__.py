"""What is in a model file: operators, weights, work, metadata. One module reads each format, in a child process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from bench.core.errors import TargetError

from .difference import Contrast, differences
from .inspection import Inspection, OperatorCount, Structure, Subject, Weights, Work

#: Format -> the functions of this room that read it and that draw its graph; an empty name where nothing is drawn.
READERS: Mapping[str, tuple[str, str]] = {
    "aot_inductor": ("torch_program:read_package", ""),
    "exported_program": ("torch_program:read_exported", "torch_program:draw_exported"),
    "frozen_graph": ("tensorflow_graph:read_frozen", "tensorflow_graph:draw_frozen"),
    "keras": ("keras_model:read", "keras_model:draw"),
    "onnx": ("onnx_file:read", "onnx_file:draw"),
    "openvino_ir": ("openvino_ir:read", "openvino_ir:draw"),
    "python_callable": ("torch_program:read_module", ""),
    "saved_model": ("tensorflow_graph:read_served", "tensorflow_graph:draw_served"),
    "tflite": ("tflite_file:read", "tflite_file:draw"),
    "torch_module": ("torch_program:read_module", ""),
    "torchscript": ("torch_program:read_script", ""),
}


def read(format: str, subject: Subject) -> Structure:
    """Open a file with the reader of its format; a format without one has an empty structure that says so."""
    if format not in READERS:
        return Structure(unread=f"a {format} file is not opened: only its size and its signature are known")
    structure: Structure = _function(READERS[format][0])(subject)
    return structure


def graph_bytes(format: str, subject: Subject) -> bytes:
    """The model's graph as a serialised GraphDef for TensorBoard; TargetError for a format that has none to draw."""
    from . import drawing

    reference = READERS.get(format, ("", ""))[1]
    if not reference:
        drawable = ", ".join(sorted(name for name, (_, draw) in READERS.items() if draw))
        raise TargetError(f"the graph of a {format} model cannot be drawn", hint=f"TensorBoard is shown {drawable}")
    drawn = _function(reference)(subject)
    return drawn if isinstance(drawn, bytes) else drawing.graph_bytes(drawn)


def _function(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


__all__ = [
    "READERS",
    "Contrast",
    "Inspection",
    "OperatorCount",
    "Structure",
    "Subject",
    "Weights",
    "Work",
    "differences",
    "graph_bytes",
    "read",
]
