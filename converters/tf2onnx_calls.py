"""What the converters from TensorFlow to ONNX share: one call of tf2onnx over a frozen graph, its gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.artifact import TensorSpec
from bench.core.errors import StepFailed
from bench.formats.frozen_graph import tensor_name

from .onnx_interface import name_interface

_OPSET = 18  # the newest that tf2onnx writes
_QUANTIZED_TYPES = ("qint8", "quint8", "qint16", "quint16", "qint32")


def write_frozen_as_onnx(
    step: str, graph: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], path: Path
) -> Any:
    """Write a GraphDef without variables as the ONNX file `path`, opset 18, and return the ModelProto.

    The natives of the specs are tensors of the graph (`input:0`); in the file everything has its canonical name
    (`canonical`), and named dimensions stay dynamic. Raises StepFailed, or whatever tf2onnx raises.
    """
    import onnx
    import tf2onnx

    _refuse_quantized(step, graph)
    # tf2onnx changes the graph it is given.
    model, _ = tf2onnx.convert.from_graph_def(
        type(graph).FromString(graph.SerializeToString()),
        input_names=[tensor_name(spec) for spec in inputs],
        output_names=[tensor_name(spec) for spec in outputs],
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_write_erfc, [])},
    )
    name_interface(step, model, inputs, outputs)
    onnx.save(model, path)
    return model


def canonical(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The specs of a file that calls its tensors by their canonical names."""
    return tuple(replace(spec, native="") for spec in specs)


def _refuse_quantized(step: str, graph: Any) -> None:
    from tensorflow import dtypes

    for node in graph.node:
        if any(value.type and dtypes.as_dtype(value.type).name in _QUANTIZED_TYPES for value in node.attr.values()):
            raise StepFailed(
                f"{step}: node {node.name} ({node.op}) has a quantized type of TensorFlow, which ONNX lacks",
                hint="convert the float graph and quantize the ONNX file: quantize_dynamic or quantize_static",
            )


def _write_erfc(context: Any, node: Any, name: str, _arguments: Sequence[Any]) -> None:
    """erfc(x) = 1 - erf(x). tf2onnx alone leaves the node as it is, though ONNX has no such operator."""
    import numpy as np
    from tf2onnx.utils import map_onnx_to_numpy_type

    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    one = context.make_const(f"{name}_one", np.ones((), map_onnx_to_numpy_type(dtype)))
    source, outputs = node.input[0], node.output
    context.remove_node(node.name)
    erf = context.make_node("Erf", [source], dtypes=[dtype], shapes=[shape])
    context.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, name=name, dtypes=[dtype], shapes=[shape])
