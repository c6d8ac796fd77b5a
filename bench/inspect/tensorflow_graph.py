"""Reads frozen graphs and SavedModels as messages: nothing in them is run, and no variable is restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.artifact import TensorSpec
from bench.formats.saved_model import DEFAULT_SIGNATURE, read_saved_model

from .arithmetic import known_product, sizes_of, stated, static_shape
from .drawing import without_large_constants
from .inspection import Structure, Subject, Work, counted, summed

PROFILER_BASIS = "floating-point operations, a multiply-add as two (TensorFlow's model_analyzer)"

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_PRODUCTS = {"Conv1D", "Conv2D", "Conv3D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMul",
             "BatchMatMulV2", "BatchMatMulV3", "Einsum", "_FusedConv2D", "_FusedMatMul"}  # fmt: skip
_ON_8_BIT = ("Quantized", "UniformQuantized", "_Quantized")
_CONVERSIONS = {"QuantizedConcat", "QuantizedReshape"}  # they move 8-bit values and compute nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A graph with what feeds it: `natives` maps the canonical name of an input to its tensor's name."""

    graph: Any
    natives: Mapping[str, str]
    facts: tuple[tuple[str, str], ...]
    inlined: Any = None  # the same without calls of functions, where they could be resolved


def read_frozen(subject: Subject) -> Structure:
    """Nodes of a GraphDef, its constants, and TensorFlow's own count of operations."""
    return structure(_frozen(subject), subject.inputs)


def draw_frozen(subject: Subject) -> bytes:
    """The GraphDef as it is in the file, without the values of large constants."""
    return without_large_constants(_frozen(subject).graph)


def read_served(subject: Subject) -> Structure:
    """Nodes that the served signature reaches, functions included, and the variables that it reads."""
    return structure(_served(subject), subject.inputs)


def draw_served(subject: Subject) -> bytes:
    """The graph of the served signature, its functions as a library."""
    return without_large_constants(_served(subject).graph)


def structure(served: Served, inputs: Sequence[TensorSpec]) -> Structure:
    """What there is to tell of a graph of TensorFlow's."""
    nodes = list(_reached(served.inlined if served.inlined is not None else served.graph))
    operators = Counter(node.op for node in nodes)
    quantized = {name for name in operators if name.startswith(_ON_8_BIT) and name not in _CONVERSIONS}
    products = {name for name in operators if _is_product(name)}
    return Structure(
        operators=counted(operators),
        weights=summed(_constants(nodes)),
        work=_work(served, inputs),
        products=sum(operators[name] for name in products),
        products_on_8_bit=sum(operators[name] for name in products & quantized),
        nodes_on_8_bit=sum(operators[name] for name in quantized),
        facts=served.facts,
    )


def _is_product(operator: str) -> bool:
    is_quantized = operator.startswith(_ON_8_BIT) and operator not in _CONVERSIONS
    return operator in _PRODUCTS or (is_quantized and any(word in operator for word in ("Conv", "MatMul", "Dot")))


def _frozen(subject: Subject) -> Served:
    graph = subject.load()
    facts = (("GraphDef version", f"producer {graph.versions.producer}"),) if graph.versions.producer else ()
    return Served(graph=graph, natives={spec.name: _tensor(spec.native_name) for spec in subject.inputs}, facts=facts)


def _served(subject: Subject) -> Served:
    meta = next(graph for graph in read_saved_model(subject.path).meta_graphs if "serve" in graph.meta_info_def.tags)
    names = [name for name in meta.signature_def if not name.startswith("__")]
    definition = meta.signature_def[DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else names[0]]
    outputs = [info.name for info in definition.outputs.values()]
    graph = _only_what_feeds(meta.graph_def, outputs)
    info = meta.meta_info_def
    facts = {
        "tags": ", ".join(info.tags),
        "signatures": ", ".join(sorted(names)),
        "producer": f"tensorflow {info.tensorflow_version}" if info.tensorflow_version else "",
    }
    return Served(
        graph=graph,
        natives={name: tensor.name for name, tensor in definition.inputs.items()},
        facts=tuple((name, value) for name, value in facts.items() if value),
        inlined=_inlined(graph, outputs),
    )


def _only_what_feeds(graph: Any, tensors: Sequence[str]) -> Any:
    """The part of a graph that the tensors depend on, with the library of functions."""
    by_name = {node.name: node for node in graph.node}
    waiting = [tensor.lstrip("^").partition(":")[0] for tensor in tensors]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached and name in by_name:
            reached.add(name)
            waiting += [source.lstrip("^").partition(":")[0] for source in by_name[name].input]
    part = type(graph)()
    part.node.extend(node for node in graph.node if node.name in reached)
    part.library.CopyFrom(graph.library)
    part.versions.CopyFrom(graph.versions)
    return part


def _inlined(graph: Any, outputs: Sequence[str]) -> Any:
    """The graph with the bodies of its functions in place of their calls: grappler's work, which runs nothing."""
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
    from tensorflow.python.grappler import tf_optimizer

    meta = MetaGraphDef(graph_def=graph)
    meta.collection_def["train_op"].node_list.value.extend(outputs)
    config = ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.min_graph_nodes = -1
    rewriting.meta_optimizer_iterations = RewriterConfig.ONE
    rewriting.optimizers.append("function")
    inlined = tf_optimizer.OptimizeGraph(config, meta)
    return _only_what_feeds(inlined, outputs)


def _reached(graph: Any) -> Iterator[Any]:
    """All nodes, then those of each function that is still called, each function once."""
    functions = {function.signature.name: function for function in graph.library.function}
    waiting, seen = [graph.node], set[str]()
    while waiting:
        for node in waiting.pop():
            if node.op not in _CALLS:
                yield node
            called = {value.func.name for value in node.attr.values() if value.HasField("func")} | {node.op}
            for name in sorted((called & functions.keys()) - seen):
                seen.add(name)
                waiting.append(functions[name].node_def)


def _constants(nodes: Sequence[Any]) -> Iterator[tuple[str, int]]:
    import tensorflow as tf

    for node in nodes:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            kind, shape = tensor.dtype, tensor.tensor_shape
        elif node.op in ("VarHandleOp", "VariableV2"):
            kind, shape = node.attr["dtype"].type, node.attr["shape"].shape
        else:
            continue
        name = tf.dtypes.as_dtype(kind).name
        yield "str" if name == "string" else name, known_product([dim.size for dim in shape.dim]) or 0


def _work(served: Served, inputs: Sequence[TensorSpec]) -> Work:
    import tensorflow as tf

    sizes = sizes_of(inputs)
    graph = served.inlined if served.inlined is not None else served.graph
    try:
        with tf.Graph().as_default() as placed:
            given = {
                served.natives[spec.name]: tf.compat.v1.placeholder(
                    "string" if spec.dtype == "str" else spec.dtype, static_shape(spec, sizes)
                )
                for spec in inputs
            }
            tf.graph_util.import_graph_def(graph, given, name="")
        return profiled(placed, sizes)
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        return Work(reason=f"the graph does not take one sample of the signature: {str(error).splitlines()[0]}")


def profiled(graph: Any, sizes: dict[str, int]) -> Work:
    """TensorFlow's count of a graph for the sizes taken; products that it has no count for are named in the basis."""
    from tensorflow.python.profiler import model_analyzer
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    without_shape, left_out = _not_profiled(graph)
    if without_shape:
        return Work(reason=f"the shapes of {', '.join(without_shape)} are not known")
    options = ProfileOptionBuilder(ProfileOptionBuilder.float_operation()).with_empty_output().build()
    operations = int(model_analyzer.profile(graph, options=options).total_float_ops)
    basis = stated(PROFILER_BASIS, sizes) + (f"; not counted: {', '.join(left_out)}" if left_out else "")
    return Work(operations=operations, basis=basis)


def _not_profiled(graph: Any) -> tuple[list[str], list[str]]:
    """Products whose shapes TensorFlow's count lacks, and products that it has no count for or does not look into."""
    from tensorflow.python.framework import ops
    from tensorflow.python.profiler.internal import flops_registry  # noqa: F401  it registers the counts

    without_shape, left_out = set[str](), set[str]()
    for operation in graph.get_operations():
        if not _is_product(operation.type):
            continue
        try:
            if ops.get_stats_for_node_def(graph, operation.node_def, "flops").value is None:
                left_out.add(operation.type)
        except ValueError:
            without_shape.add(operation.type)
    definition = graph.as_graph_def()
    inside = Counter(node.op for node in _reached(definition)) - Counter(node.op for node in definition.node)
    left_out |= {f"{operator} inside a function" for operator in inside if _is_product(operator)}
    return sorted(without_shape), sorted(left_out)


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
