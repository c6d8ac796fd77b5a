"""Signature and embedding tables of SavedModels, frozen graphs and Keras archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import TargetError
from bench.formats.frozen_graph import read_graph
from bench.formats.keras_file import load_keras, output_names
from bench.formats.saved_model import DEFAULT_SIGNATURE, frozen_function, serving_function

from .boundary import as_target_error
from .dimensions import FileTensor, Signature, named

#: Operators through which values pass unchanged, and as which of their inputs. Keras counts negative ids from the end
#: of the table: select(ids < 0, ids + rows, ids).
_PASS_THROUGH = {
    **dict.fromkeys(("Cast", "Identity", "Reshape", "ExpandDims", "Squeeze", "StridedSlice"), 0),
    "SelectV2": 2,
}
_GATHERS = frozenset({"Gather", "GatherV2", "ResourceGather"})
_NOT_OUTPUTS = frozenset({"Placeholder", "Const", "NoOp", "Assert"})


def saved_model_signature(path: Path) -> Signature:
    """Inputs and outputs of the served signature, read from saved_model.pb without loading the program in it."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    stored = SavedModel()
    file = path / "saved_model.pb"
    with as_target_error(f"{file}: not a readable saved_model", hint="check that the file is complete"):
        stored.ParseFromString(file.read_bytes())
    served = [graph for graph in stored.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not served:
        raise TargetError(f"{file}: not a SavedModel, or none that can be served: it has no graph tagged 'serve'")
    has_variables = any(node.op in ("VarHandleOp", "VariableV2") for node in served[0].graph_def.node)
    if has_variables and not (path / "variables" / "variables.index").is_file():
        raise TargetError(
            f"{path}: the values of its variables are missing: there is no variables/variables.index",
            hint="copy the whole directory, or export the model again",
        )
    definitions = served[0].signature_def
    definition = definitions[_served_name(list(definitions))]
    inputs = [_from_info(key, definition.inputs[key]) for key in sorted(definition.inputs)]
    return named(inputs, [_from_info(key, definition.outputs[key]) for key in sorted(definition.outputs)])


def _served_name(names: Sequence[str]) -> str:
    """`serving_default`, or the only one there is beside TensorFlow's own."""
    usable = [name for name in names if not name.startswith("__")]
    if DEFAULT_SIGNATURE in usable:
        return DEFAULT_SIGNATURE
    if len(usable) == 1:
        return usable[0]
    raise TargetError(
        f"the SavedModel has no signature {DEFAULT_SIGNATURE!r}, but {', '.join(sorted(usable)) or 'none at all'}",
        hint="save it with tf.saved_model.save(model, path, signatures=function), or with keras' model.export(path)",
    )


def _from_info(key: str, info: Any) -> FileTensor:
    if info.WhichOneof("encoding") != "name":
        raise TargetError(f"{key!r} is a {info.WhichOneof('encoding')}, not a dense tensor")
    shape = None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
    return FileTensor(name=key, dtype=_dtype_name(info.dtype), shape=_axes(shape))


def _dtype_name(dtype: Any) -> str:
    import tensorflow as tf

    name: str = tf.dtypes.as_dtype(dtype).name
    return "str" if name == "string" else name


def _axes(shape: Sequence[int | None] | None) -> tuple[int | None, ...] | None:
    return None if shape is None else tuple(None if dim is None or dim < 0 else dim for dim in shape)


def frozen_graph_signature(path: Path) -> Signature:
    """Inputs are the placeholders that something uses; outputs are the tensors of nodes that feed nothing."""
    import tensorflow as tf

    definition = read_graph(path)
    used = {name.lstrip("^").partition(":")[0] for node in definition.node for name in node.input}
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    operations = [graph.get_operation_by_name(node.name) for node in definition.node]
    inputs = [op.outputs[0] for op in operations if op.type == "Placeholder" and op.name in used]
    ends = [op for op in operations if op.name not in used and op.type not in _NOT_OUTPUTS]
    outputs = [tensor for op in ends for tensor in op.outputs]
    return named([_from_tensor(tensor) for tensor in inputs], [_from_tensor(tensor) for tensor in outputs])


def _from_tensor(tensor: Any) -> FileTensor:
    """The bare node name for a node's first output, as people write it."""
    shape = None if tensor.shape.rank is None else tensor.shape.as_list()
    return FileTensor(
        name=tensor.name.removesuffix(":0"), dtype=_dtype_name(tensor.dtype), shape=_axes(shape), native=tensor.name
    )


def keras_signature(path: Path) -> Signature:
    """Inputs by the names of their Input objects; outputs by dictionary key, else by the layer that gives them."""
    import keras

    model = load_keras(path)
    if not getattr(model, "inputs", None):
        raise TargetError(f"{path}: the model was saved without fixed inputs", hint="build it from keras.Input objects")
    names = output_names(model)
    outputs = keras.tree.flatten(model.outputs)
    return named(
        [FileTensor(name=tensor.name, dtype=tensor.dtype, shape=_axes(tensor.shape)) for tensor in model.inputs],
        [
            FileTensor(name=name, dtype=tensor.dtype, shape=_axes(tensor.shape))
            for name, tensor in zip(names, outputs, strict=True)
        ],
    )


def keras_vocabulary(path: Path) -> dict[str, int]:
    """Rows of the embeddings that are applied to an input itself."""
    import keras

    model = load_keras(path)
    inputs = {tensor.name for tensor in model.inputs or ()}
    rows: dict[str, int] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Embedding):
            source = model.inputs[0] if isinstance(model, keras.Sequential) else layer.input
            if source.name in inputs:
                rows[source.name] = min(layer.input_dim, rows.get(source.name, layer.input_dim))
    return rows


def frozen_graph_vocabulary(path: Path) -> dict[str, int]:
    """Rows of the tables that each placeholder selects from."""
    return _table_rows(read_graph(path))


def saved_model_vocabulary(path: Path) -> dict[str, int]:
    """The same for a SavedModel, after its functions have been inlined and its variables frozen in memory.

    This loads the program; it is only done where the signature has integer inputs.
    """
    inputs, outputs = saved_model_signature(path)
    if not any(spec.dtype.startswith(("int", "uint")) for spec in inputs):
        return {}
    try:
        frozen = frozen_function(serving_function(path, inputs, outputs), lower_control_flow=False)
    except TargetError:  # it holds state that cannot be frozen: then nothing is known of its tables
        return {}
    names = {tensor.op.name: spec.name for tensor, spec in zip(frozen.inputs, inputs, strict=True)}
    rows = _table_rows(frozen.graph.as_graph_def())
    return {names[name]: count for name, count in rows.items() if name in names}


def _table_rows(graph: Any) -> dict[str, int]:
    nodes = {node.name: node for node in graph.node}
    rows: dict[str, int] = {}
    for node in graph.node:
        if node.op not in _GATHERS or not _selects_rows(node, nodes):
            continue
        table, ids = _back(node.input[0], nodes), _back(node.input[1], nodes)
        if table.op == "Const" and ids.op == "Placeholder" and table.attr["value"].tensor.tensor_shape.dim:
            count = table.attr["value"].tensor.tensor_shape.dim[0].size
            rows[ids.name] = min(count, rows.get(ids.name, count))
    return rows


def _selects_rows(node: Any, nodes: Mapping[str, Any]) -> bool:
    """Only GatherV2 has an axis, its third input."""
    import tensorflow as tf

    if node.op != "GatherV2":
        return True
    axis = _back(node.input[2], nodes)
    return axis.op == "Const" and int(tf.make_ndarray(axis.attr["value"].tensor)) == 0


def _back(name: str, nodes: Mapping[str, Any]) -> Any:
    """The node at the beginning of a chain of operators that pass values on."""
    node = nodes[name.partition(":")[0]]
    while node.op in _PASS_THROUGH:
        node = nodes[node.input[_PASS_THROUGH[node.op]].partition(":")[0]]
    return node
