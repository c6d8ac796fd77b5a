"""The interface of a converted ONNX model: canonical names for its inputs and outputs, and names for dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.core.artifact import TensorSpec
from bench.core.errors import StepFailed
from bench.formats.onnx_file import all_graphs


def name_interface(step: str, model: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Give the graph inputs and outputs of a ModelProto, taken by position, the names and dimensions of the specs.

    A value inside the graph that has such a name already is moved away first: exporters that rename carelessly make
    two values of one name, and the file is invalid.
    """
    graph = model.graph
    _require_count(step, "inputs", graph.input, inputs)
    _require_count(step, "outputs", graph.output, outputs)
    wanted = [*zip(graph.input, inputs, strict=True), *zip(graph.output, outputs, strict=True)]
    names = {value.name: spec.name for value, spec in wanted}
    _rename_values(graph, _moved_away(graph, names) | names)
    symbols: dict[str, str] = {}
    for value, spec in wanted:
        _set_shape(value.type.tensor_type.shape.dim, spec, symbols)
    for value in graph.value_info:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in symbols:
                dimension.dim_param = symbols[dimension.dim_param]


def _set_shape(dimensions: Any, spec: TensorSpec, symbols: dict[str, str]) -> None:
    """Write the shape of `spec`, and note in `symbols` what the exporter called its named dimensions."""
    exported = [dimension.dim_param for dimension in dimensions]
    del dimensions[:]
    for axis, size in enumerate(spec.shape):
        if isinstance(size, int):
            dimensions.add(dim_value=size)
            continue
        dimensions.add(dim_param=size)
        if axis < len(exported) and exported[axis]:
            symbols.setdefault(exported[axis], size)


def _require_count(step: str, what: str, values: Sequence[Any], specs: Sequence[TensorSpec]) -> None:
    if len(values) != len(specs):
        raise StepFailed(
            f"{step} made a model with {len(values)} {what} ({', '.join(value.name for value in values)}) "
            f"where the source has {len(specs)} ({', '.join(spec.name for spec in specs)})",
            hint=f"{what} that the network does not use, or uses twice, may vanish: leave them out of the model",
        )


def _moved_away(graph: Any, names: Mapping[str, str]) -> dict[str, str]:
    """New names for values that are in the way of canonical names and are not renamed themselves."""
    taken = {
        name
        for inner in all_graphs(graph)
        for name in (
            *(edge for node in inner.node for edge in (*node.input, *node.output)),
            *(value.name for value in (*inner.input, *inner.output, *inner.initializer)),
        )
    }
    moved: dict[str, str] = {}
    for name in sorted(set(names.values()) & taken - names.keys()):
        replacement = f"{name}__inner"
        while replacement in taken:
            replacement += "_"
        taken.add(replacement)
        moved[name] = replacement
    return moved


def _rename_values(graph: Any, names: Mapping[str, str]) -> None:
    for inner in all_graphs(graph):
        for node in inner.node:
            for edges in (node.input, node.output):
                for index, name in enumerate(edges):
                    edges[index] = names.get(name, name)
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
            value.name = names.get(value.name, value.name)
