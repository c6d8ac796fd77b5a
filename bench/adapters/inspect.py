"""What a model that the user names by path takes and gives. Runs in a child, for every parser here is foreign code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.core.errors import TargetError
from bench.formats.detect import split_callable
from bench.formats.torch_module import require_description

from . import inspect_onnx, inspect_openvino, inspect_tensorflow, inspect_tflite, inspect_torch, null
from .boundary import as_target_error
from .dimensions import Signature


def signature(format: str, path: Path | str) -> Signature:
    """Inputs and outputs of the model at `path`, dynamic dimensions named (`bench.adapters.dimensions.named`).

    Code formats are run to find out; trust is asked before (`bench.core.trust`). TargetError names format and cause in
    one line when the file is missing, empty, cut short, or something else.
    """
    readers: Mapping[str, Callable[[Path], Signature]] = {
        "onnx": inspect_onnx.signature,
        "saved_model": inspect_tensorflow.saved_model_signature,
        "frozen_graph": inspect_tensorflow.frozen_graph_signature,
        "keras": inspect_tensorflow.keras_signature,
        "tflite": inspect_tflite.signature,
        "exported_program": inspect_torch.exported_signature,
        "torchscript": inspect_torch.script_signature,
        "python_callable": inspect_torch.callable_signature,
        "openvino_ir": inspect_openvino.signature,
        "null": null.signature,
    }
    if format == "torch_module":
        require_description(Path(path))
    if format not in readers:
        raise TargetError(
            f"{path}: the signature of a {format} model is not in its file",
            hint="name the zoo model that it belongs to",
        )
    _require_content(format, path)
    with as_target_error(f"{path}: not a readable {format} model", hint="check that the file is complete"):
        inputs, outputs = readers[format](Path(path))
    if not inputs or not outputs:
        raise TargetError(f"{path}: the {format} model has no {'inputs' if not inputs else 'outputs'}")
    return inputs, outputs


def vocabulary(format: str, path: Path | str) -> dict[str, int]:
    """How many rows the tables have that integer inputs select from: ids must stay below; input name -> rows.

    An input is absent where no table is found: not every path from an input to a table can be followed.
    """
    readers: Mapping[str, Callable[[Path], dict[str, int]]] = {
        "onnx": inspect_onnx.vocabulary,
        "saved_model": inspect_tensorflow.saved_model_vocabulary,
        "frozen_graph": inspect_tensorflow.frozen_graph_vocabulary,
        "keras": inspect_tensorflow.keras_vocabulary,
    }
    if format not in readers:
        return {}
    with as_target_error(f"{path}: not a readable {format} model", hint="check that the file is complete"):
        return readers[format](Path(path))


def external_members(path: Path | str) -> tuple[str, ...]:
    """Files beside an .onnx file that hold its tensors, relative to its directory and sorted.

    TargetError names the tensor whose data lie outside the directory, behind a link, or nowhere.
    """
    return inspect_onnx.external_members(Path(path))


def _require_content(format: str, path: Path | str) -> None:
    parts = split_callable(str(path)) if format == "python_callable" else None
    file = parts[0] if parts else Path(path)
    if format == "saved_model":
        file /= "saved_model.pb"
    with as_target_error(f"{file}: cannot be read"):
        if not file.is_file():
            raise TargetError(f"{file}: no such file, where a model of the format {format} was expected")
        if file.stat().st_size == 0:
            raise TargetError(f"{file}: an empty file, where a model of the format {format} was expected")
