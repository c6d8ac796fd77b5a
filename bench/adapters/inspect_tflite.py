"""Signature of TensorFlow Lite files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.formats.tflite_file import open_interpreter

from .dimensions import FileTensor, Signature, named


def signature(path: Path) -> Signature:
    """Inputs and outputs by the names of the file's signature where it has exactly one, else by their tensors' names
    without what converters add. Sizes that the file leaves open are dynamic."""
    interpreter = open_interpreter(path, threads=1)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    names: Mapping[int, str] = {}
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        sides = (runner.get_input_details(), runner.get_output_details())
        names = {detail["index"]: name for side in sides for name, detail in side.items()}
    return named([_tensor(detail, names) for detail in inputs], [_tensor(detail, names) for detail in outputs])


def _tensor(detail: Mapping[str, Any], names: Mapping[int, str]) -> FileTensor:
    import numpy as np

    plain = detail["name"].removeprefix("serving_default_").removesuffix(":0")
    dtype = np.dtype(detail["dtype"])
    return FileTensor(
        name=names.get(detail["index"], plain),
        dtype="str" if dtype.kind in "SO" else dtype.name,
        shape=tuple(None if size < 0 else int(size) for size in _open_shape(detail)),
        native=detail["name"],
    )


def _open_shape(detail: Mapping[str, Any]) -> Any:
    """Files of old converters have no signature of shapes: an empty one, whatever the rank."""
    stored = detail["shape_signature"]
    return stored if len(stored) == len(detail["shape"]) else detail["shape"]
