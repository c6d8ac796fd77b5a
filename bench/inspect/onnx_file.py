"""Reads .onnx files with `onnx` alone: no runtime sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from bench.formats.onnx_file import all_graphs

from .arithmetic import Product, known_product, own_work, sizes_of, static_shape
from .drawing import Node
from .inspection import Structure, Subject, Work, counted, summed

Shape = Sequence[int | None] | None

#: Operator -> which inputs are multiplied.
_CONVOLUTIONS = {"Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "ConvTranspose": (0, 1)}
_MATRIX_PRODUCTS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3), "Gemm": (0, 1), "QGemm": (0, 3)}
_DYNAMIC = {"DynamicQuantizeMatMul": (0, 1), "MatMulIntegerToFloat": (0, 1), "MatMulNBits": (0, 1)}
_PRODUCTS = {**_CONVOLUTIONS, **_MATRIX_PRODUCTS, **_DYNAMIC}
_ALWAYS_ON_8_BIT = {"ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat",
                    "DynamicQuantizeMatMul"}  # fmt: skip
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
#: They multiply matrices inside, in ways that are not followed.
_NOT_COUNTED = {"LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "GroupQueryAttention", "Einsum", "QAttention"}
_NAMES = {"FLOAT": "float32", "DOUBLE": "float64", "STRING": "str"}


def read(subject: Subject) -> Structure:
    """Operators with inner graphs and functions, constants by type, and a count of multiply-adds."""
    import onnx

    model = onnx.load(subject.path, load_external_data=False)
    scopes = [(nodes, _dequantized(nodes)) for nodes in _node_lists(model)]
    nodes = [(node, dequantized) for nodes, dequantized in scopes for node in nodes]
    products = [(node, dequantized) for node, dequantized in nodes if node.op_type in _PRODUCTS]
    return Structure(
        operators=counted(Counter(_operator(node) for node, _ in nodes)),
        weights=summed(_constants(model)),
        work=_work(model, subject),
        products=len(products),
        products_on_8_bit=sum(_is_on_8_bit(node, dequantized) for node, dequantized in products),
        nodes_on_8_bit=sum(_is_on_8_bit(node, dequantized) for node, dequantized in nodes),
        facts=_facts(model),
    )


def draw(subject: Subject) -> list[Node]:
    """The nodes of the main graph, each with the names of the nodes that feed it."""
    import onnx

    graph = onnx.load(subject.path, load_external_data=False).graph
    names: dict[str, str] = {}
    nodes = [Node(name=value.name, operator="Input") for value in graph.input]
    names |= {value.name: value.name for value in graph.input}
    for index, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{index}"
        feeds = tuple(names[source] for source in node.input if source in names)
        nodes.append(Node(name=name, operator=_operator(node), inputs=feeds))
        names |= dict.fromkeys(node.output, name)
    return nodes


def _node_lists(model: Any) -> list[list[Any]]:
    """The nodes of the graph, then those of each function, with inner graphs: names mean one thing in each list."""
    return [[node for graph in all_graphs(body) for node in graph.node] for body in (model.graph, *model.functions)]


def _dequantized(nodes: Sequence[Any]) -> set[str]:
    return {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}


def _work(model: Any, subject: Subject) -> Work:
    """The products of the main graph with its functions inlined; how often an inner graph is run is not in the file."""
    from onnx import inliner

    flat = inliner.inline_local_functions(model) if model.functions else model
    sizes = sizes_of(subject.inputs)
    shapes = _shapes(flat, {spec.name: static_shape(spec, sizes) for spec in subject.inputs})
    dequantized = _dequantized(flat.graph.node)
    products = [_product(node, shapes, dequantized) for node in flat.graph.node if node.op_type in _PRODUCTS]
    left_out = {_operator(node) for node in flat.graph.node if _multiplies_inside(node)}
    of_another_opset = [function for function in flat.functions if any(map(_multiplies, function.node))]  # stay calls
    left_out |= {f"{function.domain}.{function.name}" for function in of_another_opset}
    return own_work(products, sizes, not_counted=left_out)


def _multiplies(node: Any) -> bool:
    return node.op_type in _PRODUCTS or _multiplies_inside(node)


def _multiplies_inside(node: Any) -> bool:
    inner = (graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs))
    return node.op_type in _NOT_COUNTED or any(_multiplies(each) for graph in inner for each in graph.node)


def _operator(node: Any) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _is_on_8_bit(node: Any, dequantized: set[str]) -> bool:
    """In the form that surrounds float operators with conversions, all that such an operator reads was 8-bit."""
    if node.op_type in _CONVERSIONS or node.op_type == "Constant":
        return False
    if node.op_type in _ALWAYS_ON_8_BIT or node.op_type.startswith(("QLinear", "Q")):
        return True
    multiplied = _PRODUCTS.get(node.op_type, range(len(node.input)))
    sources = [node.input[index] for index in multiplied if index < len(node.input) and node.input[index]]
    return bool(sources) and all(source in dequantized for source in sources)


def _product(node: Any, shapes: Mapping[str, Shape], dequantized: set[str]) -> Product:
    first, second = (node.input[index] for index in _PRODUCTS[node.op_type])
    output = shapes.get(node.output[0])
    left, right = shapes.get(first), shapes.get(second)
    if node.op_type == "ConvTranspose":
        amount = known_product(left, right[1:] if right else None)
    elif node.op_type in _CONVOLUTIONS:
        amount = known_product(output, right[1:] if right else None)
    else:
        amount = known_product(output, _common_axis(node, left))
    return Product(operator=node.op_type, multiply_adds=amount, is_on_8_bit=_is_on_8_bit(node, dequantized))


def _common_axis(node: Any, left: Shape) -> Shape:
    """The length over which a matrix product sums."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "MatMulNBits":
        return [attributes.get("K")]
    if not left:
        return None
    is_transposed = node.op_type in ("Gemm", "QGemm") and attributes.get("transA")
    return [left[-2 if is_transposed else -1]]


def _shapes(model: Any, given: Mapping[str, list[int]]) -> dict[str, Shape]:
    """Shapes of the main graph's tensors for inputs of the given sizes, as far as onnx can infer them."""
    import onnx

    for value in model.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, given.get(value.name, ()), strict=False):
            dim.dim_value = size
    del model.graph.value_info[:]  # what was written there for other sizes is no longer true
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes: dict[str, Shape] = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    return shapes | {tensor.name: list(tensor.dims) for tensor in inferred.graph.initializer}


def _constants(model: Any) -> Iterator[tuple[str, int]]:
    for graph in all_graphs(model.graph):
        for tensor in graph.initializer:
            yield _constant(tensor)
        for sparse in graph.sparse_initializer:
            yield from (_constant(sparse.values), _constant(sparse.indices))
    for node in chain.from_iterable(_node_lists(model)):
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("t"):
                yield _constant(attribute.t)


def _constant(tensor: Any) -> tuple[str, int]:
    import onnx

    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    return _NAMES.get(name, name.lower()), known_product(list(tensor.dims)) or 0


def _facts(model: Any) -> tuple[tuple[str, str], ...]:
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    producer = f"{model.producer_name} {model.producer_version}".strip()
    facts = {"opset": opsets, "IR version": str(model.ir_version), "producer": producer}
    if model.functions:
        facts["functions"] = str(len(model.functions))
    facts |= {f"metadata {entry.key}": entry.value for entry in model.metadata_props}
    return tuple((name, value) for name, value in facts.items() if value)
