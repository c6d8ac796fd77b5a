"""Signature, embedding tables and external data of an .onnx file, read with `onnx` alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import TargetError

from .boundary import as_target_error
from .dimensions import FileTensor, Signature, named

#: Operators through which ids pass unchanged, and as which of their inputs. Exporters count negative ids from the end
#: of the table: where(ids < 0, ids + rows, ids).
_SAME_IDS = {
    **dict.fromkeys(("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice"), 0),
    "Where": 2,
}
#: Operators that give a table of the same rows, and of which of their inputs.
_SAME_ROWS = dict.fromkeys(("Cast", "Identity", "DequantizeLinear"), 0)

#: The checker allows calls a hundred deep; graphs of a million operators are larger than any that a network has.
_DEEPEST_CALL = 100
_MOST_OPERATORS = 1_000_000

_CONTAINMENT_HINT = "put the model and its data files into one directory of their own, as plain files"


def signature(path: Path) -> Signature:
    """Inputs and outputs, after the ONNX checker: what it refuses must never reach a runtime, for it can crash one."""
    import onnx

    external_members(path)
    model = _read(path)
    _require_finite_functions(model)
    graph = model.graph
    if _lacks_shapes(graph):
        onnx.checker.check_model(_with_shapes(model))
    else:
        onnx.checker.check_model(str(path))
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [_file_tensor(value) for value in graph.input if value.name not in constants]
    return named(inputs, [_file_tensor(value) for value in graph.output])


def _require_finite_functions(model: Any) -> None:
    """Functions that call others twice each stand for a graph that no memory holds; the checker lets them pass."""
    sizes: dict[tuple[str, str], int] = {}
    bodies = {(function.domain, function.name): function.node for function in model.functions}

    def size(nodes: Any, depth: int) -> int:
        """Operators after all calls are replaced, counted no further than the bound; too deep a nest is endless."""
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in bodies and key not in sizes:
                sizes[key] = _MOST_OPERATORS if depth > _DEEPEST_CALL else size(bodies[key], depth + 1)
            inner = (graph for value in node.attribute for graph in (value.g, *value.graphs))
            total += sizes.get(key, 1) + sum(size(graph.node, depth) for graph in inner)
            if total >= _MOST_OPERATORS:
                return _MOST_OPERATORS
        return total

    if size(model.graph.node, 0) >= _MOST_OPERATORS:
        raise TargetError(
            f"its functions call each other more than {_DEEPEST_CALL} deep, or stand for more than "
            f"{_MOST_OPERATORS:,} operators",
            hint="the file is damaged, or made to fill the memory of what reads it: export the model again",
        )


def _lacks_shapes(graph: Any) -> bool:
    return any(not value.type.tensor_type.HasField("shape") for value in (*graph.input, *graph.output))


def _with_shapes(model: Any) -> Any:
    """A copy whose inputs and outputs all have a shape: the checker wants one, runtimes run models without."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.WhichOneof("value") == "tensor_type" and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    return copy


def vocabulary(path: Path) -> dict[str, int]:
    """Rows of the smallest table that each integer input selects from (see `bench.adapters.inspect.vocabulary`)."""
    graph = _read(path).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
    inputs = {value.name for value in graph.input} - set(shapes)
    rows: dict[str, int] = {}
    for node in graph.node:
        if node.op_type != "Gather" or any(value.name == "axis" and value.i != 0 for value in node.attribute):
            continue
        table = shapes.get(_back(node.input[0], makers, _SAME_ROWS))
        ids = _back(node.input[1], makers, _SAME_IDS)
        if table and ids in inputs:
            rows[ids] = min(table[0], rows.get(ids, table[0]))
    return rows


def _back(name: str, makers: Mapping[str, Any], operators: Mapping[str, int]) -> str:
    """The name at the beginning of a chain of `operators` that ends in `name`."""
    while name in makers and makers[name].op_type in operators:
        name = makers[name].input[operators[makers[name].op_type]]
    return name


def external_members(path: Path) -> tuple[str, ...]:
    """See `bench.adapters.inspect.external_members`."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    model = _read(path)
    members: dict[str, str] = {}
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            members.setdefault(ExternalDataInfo(tensor).location, tensor.name)
    for function in model.functions:
        for node in function.node:
            for tensor in _tensors_of_node(node):
                if uses_external_data(tensor):
                    members.setdefault(ExternalDataInfo(tensor).location, tensor.name)
    for location, name in members.items():
        problem = _why_outside(path.parent, location)
        if problem:
            raise TargetError(
                f"{path}: the data of tensor {name!r} lie in {location!r}: {problem}", hint=_CONTAINMENT_HINT
            )
    return tuple(sorted(members))


def _why_outside(directory: Path, location: str) -> str:
    """Why a data file may not be read, empty when it may: links could lead anywhere, devices never end."""
    if not location or "\0" in location:
        return "not a file name"
    if os.path.isabs(location) or ".." in Path(location).parts:
        return "outside the model's directory"
    step = directory
    for part in Path(location).parts:
        step /= part
        try:
            status = step.lstat()
        except OSError as error:
            return error.strerror or "cannot be read"
        if stat.S_ISLNK(status.st_mode):
            return "reached through a link"
    if not stat.S_ISREG(status.st_mode):
        return "not a plain file"
    return "a file with several hard links" if status.st_nlink > 1 else ""


def _tensors(graph: Any) -> Iterator[Any]:
    """All tensors of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _tensors(graph)


def _read(path: Path) -> Any:
    import onnx

    with as_target_error(f"{path}: not a readable onnx model", hint="check that the file is complete"):
        return onnx.load(path, load_external_data=False)


def _file_tensor(value: Any) -> FileTensor:
    import onnx

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise TargetError(
            f"{value.name!r} is a {(kind or 'value without a type').removesuffix('_type')}, not a tensor",
            hint="export the model with tensors as inputs and outputs",
        )
    tensor = value.type.tensor_type
    if tensor.elem_type == onnx.TensorProto.STRING:
        dtype = "str"
    else:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(_dimension(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return FileTensor(name=value.name, dtype=dtype, shape=shape)


def _dimension(dim: Any) -> int | str | None:
    """Some exporters write -1 or 0 for a size that is not known."""
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return dim.dim_param or None
