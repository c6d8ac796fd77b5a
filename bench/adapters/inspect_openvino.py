"""Signature of OpenVINO IR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.errors import TargetError
from bench.formats.openvino_ir import require_no_document_type, weights_file

from .dimensions import FileTensor, Signature, named


def signature(path: Path) -> Signature:
    """Inputs and outputs by the first of their names; IR has no names for dimensions."""
    import openvino

    require_no_document_type(path)
    if not weights_file(path).is_file():
        raise TargetError(f"{path}: its weights are missing", hint=f"put {weights_file(path).name} beside it")
    model = openvino.Core().read_model(path)
    return named([_tensor(port) for port in model.inputs], [_tensor(port) for port in model.outputs])


def _tensor(port: Any) -> FileTensor:
    if not port.get_names():
        raise TargetError(
            f"a tensor at the border has no name, only its node {port.get_node().get_friendly_name()!r} has",
            hint="name it: port.get_tensor().set_names({...}), then save the model again",
        )
    shape = port.get_partial_shape()
    return FileTensor(
        name=min(port.get_names()),
        dtype=port.get_element_type().to_dtype().name,
        shape=None if shape.rank.is_dynamic else tuple(dim.get_length() if dim.is_static else None for dim in shape),
    )
