"""How many bytes of a model's constants are float32, and how many narrower: what a quantized one must differ in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NARROW = re.compile(r"q?u?int[48]|b?float16|u?[iu][48]|b?f16", re.IGNORECASE)
_FLOAT = re.compile(r"float32|float|f32", re.IGNORECASE)

Constants = Iterator[tuple[str, int]]
"""Name of a type in the framework's own words, and bytes."""


def weight_bytes(format: str, path: Path) -> Counter[str]:
    """Bytes of constants by "float32" and "narrow" (16 bits or fewer), read with the format's own framework."""
    counts: Counter[str] = Counter()
    for kind, size_bytes in _READERS[format](path):
        if _FLOAT.fullmatch(kind):
            counts["float32"] += size_bytes
        elif _NARROW.fullmatch(kind):
            counts["narrow"] += size_bytes
    return counts


def _of_keras(path: Path) -> Constants:
    import keras

    for weight in keras.models.load_model(path, compile=False).weights:
        yield weight.dtype, weight.numpy().nbytes


def _of_saved_model(path: Path) -> Constants:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # which holds the variables: the signature does not
    for variable in loaded.signatures["serving_default"].variables:
        yield variable.dtype.name, variable.numpy().nbytes


def _of_frozen_graph(path: Path) -> Constants:
    import tensorflow as tf

    for node in tf.compat.v1.GraphDef.FromString(path.read_bytes()).node:
        if node.op == "Const":
            yield tf.dtypes.as_dtype(node.attr["dtype"].type).name, tf.make_ndarray(node.attr["value"].tensor).nbytes


def _of_onnx(path: Path) -> Constants:
    import onnx

    graph = onnx.load(path).graph
    of_nodes = (value.t for node in graph.node if node.op_type == "Constant" for value in node.attribute)
    for tensor in (*graph.initializer, *of_nodes):
        yield onnx.TensorProto.DataType.Name(tensor.data_type), onnx.numpy_helper.to_array(tensor).nbytes


def _of_tflite(path: Path) -> Constants:
    from bench.formats.tflite_file import constant_bytes_by_type

    yield from constant_bytes_by_type(path).items()


def _of_openvino(path: Path) -> Constants:
    import openvino

    for operator in openvino.Core().read_model(path).get_ops():
        if operator.get_type_name() == "Constant":
            kind = operator.get_element_type()
            yield kind.get_type_name(), math.prod(operator.shape) * kind.bitwidth // 8


def _of_torch_module(path: Path) -> Constants:
    from bench.formats.torch_module import load_torch_module

    yield from _of_tensors(load_torch_module(path).state_dict())


def _of_exported_program(path: Path) -> Constants:
    from bench.formats.exported_program import load_exported

    program = load_exported(path)
    yield from _of_tensors({**program.state_dict, **program.constants})


def _of_tensors(tensors: Any) -> Constants:
    for tensor in tensors.values():
        yield str(tensor.dtype).removeprefix("torch."), tensor.nbytes


_READERS = {
    "keras": _of_keras,
    "saved_model": _of_saved_model,
    "frozen_graph": _of_frozen_graph,
    "onnx": _of_onnx,
    "tflite": _of_tflite,
    "openvino_ir": _of_openvino,
    "torch_module": _of_torch_module,
    "exported_program": _of_exported_program,
}
