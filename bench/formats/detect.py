"""Which format a model on disk has, told from its name and its directory alone: no framework, nothing is parsed."""

from __future__ import annotations

import re
from pathlib import Path

from bench.core.errors import MatrixError

_CALLABLE = re.compile(r"(?P<path>.+\.py):(?P<function>[A-Za-z_]\w*)", re.DOTALL)
_SUFFIXES = {
    ".onnx": "onnx",
    ".pb": "frozen_graph",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pt2": "exported_program",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".tflite": "tflite",
    ".json": "null",
    ".xml": "openvino_ir",
}
#: A file whose presence tells the format of the directory around it.
_MARKERS = {"saved_model.pb": "saved_model", "module.json": "torch_module"}
_EXPORT = (
    "export it: torch.export.save(torch.export.export(module, args), 'model.pt2'), or torch.onnx.export; "
    "if torch.jit.save wrote it, name it model.ts"
)
_WAYS_OUT = {
    ".pt": _EXPORT,
    ".pth": _EXPORT,
    ".py": "name the function that returns the model: model.py:build",
    ".safetensors": "tensors without a network: write a function that returns the model and name it model.py:build",
}
_KNOWN = "known are .onnx, .pb, .keras, .h5, .tflite, .xml, .pt2, .ts, a SavedModel directory and file.py:function"


def split_callable(location: str) -> tuple[Path, str] | None:
    """The file and the function of `file.py:function`; None when `location` is not of that form."""
    match = _CALLABLE.fullmatch(location)
    return (Path(match["path"]), match["function"]) if match else None


def detect_format(path: str) -> str:
    """The artifact format of the user's file, directory or `file.py:function`; MatrixError when there is none."""
    if "\0" in path or not path:
        raise MatrixError(f"{path!r} is not a path", hint="name a model file, a directory or file.py:function")
    callable_parts = split_callable(path)
    file = callable_parts[0] if callable_parts else Path(path)
    try:
        exists, is_directory = file.exists(), file.is_dir()
    except OSError as error:  # a name too long, a directory we may not enter
        raise MatrixError(f"{path}: {error.strerror}", hint="check the path and its permissions") from error
    if not exists:
        raise MatrixError(f"{path}: no such file", hint="paths are relative to the working directory")
    if callable_parts:
        return "python_callable"
    return _format_of_directory(file) if is_directory else _format_of_file(file)


def _format_of_directory(directory: Path) -> str:
    for marker, format in _MARKERS.items():
        if (directory / marker).is_file():
            return format
    raise MatrixError(
        f"{directory}: a directory that holds neither {' nor '.join(_MARKERS)}",
        hint="name the model file inside it, or the directory that saved_model.pb lies in",
    )


def _format_of_file(file: Path) -> str:
    if file.name in _MARKERS:
        raise MatrixError(
            f"{file}: one part of a {_MARKERS[file.name]} directory", hint=f"name the directory: {file.parent}"
        )
    suffix = file.suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    raise MatrixError(
        f"{file}: the suffix {suffix!r} names no format that can be run", hint=_WAYS_OUT.get(suffix, _KNOWN)
    )
