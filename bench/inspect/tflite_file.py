"""Reads .tflite files by their schema: no interpreter is made."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.errors import TargetError

from .arithmetic import Product, known_product, own_work
from .drawing import Node
from .inspection import Structure, Subject, counted, summed

_IDENTIFIER = slice(4, 8)
_PRODUCTS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV"}
_NOT_COUNTED = {"CONV_3D", "UNIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "WHILE", "CALL_ONCE"}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
_NAMES = {"string": "str"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    is_constant: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Operator:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(subject: Subject) -> Structure:
    """Operators of all subgraphs, buffers by element type, and a count of multiply-adds at the sizes in the file."""
    model = _model(subject)
    graphs = [_graph(model, index) for index in range(_bounded(subject, model.SubgraphsLength()))]
    products = [
        _product(operator, tensors)
        for operators, tensors in graphs
        for operator in operators
        if operator.name in _PRODUCTS
    ]
    names = Counter(operator.name for operators, _ in graphs for operator in operators)
    return Structure(
        operators=counted(names),
        weights=summed(_constants(tensors for _, tensors in graphs)),
        work=own_work(products, {}, not_counted=_NOT_COUNTED & names.keys()),
        products=len(products),
        products_on_8_bit=sum(product.is_on_8_bit for product in products),
        nodes_on_8_bit=sum(_is_on_8_bit(operator, tensors) for operators, tensors in graphs for operator in operators),
        facts=_facts(model),
    )


def draw(subject: Subject) -> list[Node]:
    """The operators of the main subgraph."""
    operators, tensors = _graph(_model(subject), 0)
    makers: dict[int, str] = {}
    nodes = []
    for index, operator in enumerate(operators):
        name = f"{operator.name}_{index}"
        feeds = tuple(makers[source] for source in operator.inputs if source in makers)
        nodes.append(Node(name=name, operator=operator.name, inputs=feeds))
        makers |= dict.fromkeys(operator.outputs, name)
    given = {source for operator in operators for source in operator.inputs} - makers.keys()
    names = {tensors[index].name for index in given if not tensors[index].is_constant}
    return [*(Node(name=name, operator="Input") for name in sorted(names)), *nodes]


def _model(subject: Subject) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    content = subject.path.read_bytes()
    if content[_IDENTIFIER] != b"TFL3":
        raise TargetError(f"{subject.path}: not a TensorFlow Lite file", hint="check that the file is complete")
    return schema.Model.GetRootAs(content, 0)


def _bounded(subject: Subject, length: int) -> int:
    """A count out of the file, which cannot be more than the file has bytes."""
    if length > subject.path.stat().st_size:
        raise TargetError(f"{subject.path}: its tables are damaged", hint="check that the file is complete")
    return length


def _graph(model: Any, index: int) -> tuple[list[_Operator], list[_Tensor]]:
    graph = model.Subgraphs(index)
    tensors = [_tensor(model, graph.Tensors(position)) for position in range(graph.TensorsLength())]
    operators = [_operator(model, graph.Operators(position)) for position in range(graph.OperatorsLength())]
    return operators, tensors


def _tensor(model: Any, tensor: Any) -> _Tensor:
    from ai_edge_litert import schema_py_generated as schema

    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    kind = types.get(tensor.Type(), "unknown")
    signature = [tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())]
    shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
    buffer = model.Buffers(tensor.Buffer())
    return _Tensor(
        name=(tensor.Name() or b"").decode(errors="replace"),
        dtype=_NAMES.get(kind, kind),
        shape=tuple(shape if len(shape) == len(signature) or not signature else signature),
        is_constant=buffer.DataLength() > 0 or buffer.Size() > 0,
    )


def _operator(model: Any, operator: Any) -> _Operator:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # before schema version 3a there was one byte
    custom = code.CustomCode()
    return _Operator(
        name=custom.decode(errors="replace") if custom else names.get(number, f"operator {number}"),
        inputs=tuple(operator.Inputs(position) for position in range(operator.InputsLength())),
        outputs=tuple(operator.Outputs(position) for position in range(operator.OutputsLength())),
    )


def _product(operator: _Operator, tensors: Sequence[_Tensor]) -> Product:
    output = tensors[operator.outputs[0]].shape
    left, right = (tensors[index].shape for index in operator.inputs[:2])
    if operator.name == "CONV_2D":
        amount = known_product(output, right[1:])
    elif operator.name == "DEPTHWISE_CONV_2D":
        amount = known_product(output, right[1:3])
    elif operator.name == "FULLY_CONNECTED":
        amount = known_product(output, right[-1:])
    elif operator.name == "BATCH_MATMUL":
        amount = known_product(output, left[-1:])
    else:
        amount = known_product(tensors[operator.inputs[2]].shape, right[:3])
    return Product(operator=operator.name, multiply_adds=amount, is_on_8_bit=_is_on_8_bit(operator, tensors))


def _is_on_8_bit(operator: _Operator, tensors: Sequence[_Tensor]) -> bool:
    """With 8-bit weights LiteRT multiplies 8-bit values, for it quantizes float inputs as they come."""
    if operator.name in _CONVERSIONS or not operator.inputs:
        return False
    multiplied = operator.inputs[1:2] if operator.name in _PRODUCTS else operator.inputs[:1]
    return any(tensors[index].dtype in ("int8", "uint8") for index in multiplied if index >= 0)


def _constants(graphs: Iterable[Sequence[_Tensor]]) -> Iterator[tuple[str, int]]:
    for tensors in graphs:
        for tensor in tensors:
            if tensor.is_constant:
                yield tensor.dtype, known_product(tensor.shape) or 0


def _facts(model: Any) -> tuple[tuple[str, str], ...]:
    facts: dict[str, str] = {"schema version": str(model.Version())}
    description = (model.Description() or b"").decode(errors="replace")
    if description:
        facts["description"] = description
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        content = model.Buffers(entry.Buffer())
        with contextlib.suppress(UnicodeDecodeError):
            text = bytes(content.DataAsNumpy()).rstrip(b"\0").decode() if content.DataLength() else ""
            if text.isprintable() and text:
                facts[f"metadata {(entry.Name() or b'').decode(errors='replace')}"] = text
    return tuple(facts.items())
