"""Reads what PyTorch made. All but `torch_module` is code: the caller has the user's word before a reader is asked."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .arithmetic import OTHER_SIZE, sizes_of, stated, static_shape
from .drawing import Node
from .inspection import OperatorCount, Structure, Subject, Work, counted, summed

_BASIS = (
    "floating-point operations of matrix products, convolutions and attention, a multiply-add as two "
    "(PyTorch's FlopCounterMode)"
)
#: Sizes tried for dimensions other than the batch: networks of texts have a longest one.
_SIZES = (OTHER_SIZE, 32, 8)
_PRODUCT_WORDS = ("conv", "convolution", "linear", "matmul", "mm", "bmm", "addmm", "einsum")


def read_exported(subject: Subject) -> Structure:
    """Calls in the graph of an exported program, its state by element type, and PyTorch's own count of operations."""
    program = subject.load()
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    products = [node for node in calls if _is_product(_target(node))]
    on_8_bit = [node for node in products if _is_on_8_bit(node)]
    return Structure(
        operators=counted(Counter(_target(node) for node in calls)),
        weights=summed(_state([*program.state_dict.values(), *program.constants.values()])),
        work=_work(subject, program.module()),
        products=len(products),
        products_on_8_bit=len(on_8_bit),
        nodes_on_8_bit=sum(_is_on_8_bit(node) for node in calls),
        facts=_facts(program),
    )


def draw_exported(subject: Subject) -> list[Node]:
    """The nodes of the exported graph."""
    return [
        Node(
            name=node.name,
            operator=_target(node) if node.op == "call_function" else node.op,
            inputs=tuple(source.name for source in node.all_input_nodes),
        )
        for node in subject.load().graph.nodes
    ]


def read_module(subject: Subject) -> Structure:
    """Modules without children by class, and their state; a callable that is no module is told as such."""
    import torch

    module = subject.load()
    if not isinstance(module, torch.nn.Module):
        return Structure(unread=f"a {type(module).__name__} of Python: only its signature is known")
    leaves = [part for part in module.modules() if not any(part.children())]
    products = [leaf for leaf in leaves if _is_product(type(leaf).__name__)]
    on_8_bit = [leaf for leaf in leaves if "quantized" in type(leaf).__module__]
    return Structure(
        unit="modules",
        operators=counted(Counter(type(leaf).__name__ for leaf in leaves)),
        weights=summed(_state(module.state_dict().values())),
        work=_work(subject, module),
        products=len(products),
        products_on_8_bit=sum(leaf in on_8_bit for leaf in products),
        nodes_on_8_bit=len(on_8_bit),
        facts=(("module", type(module).__qualname__), ("torch", f"{torch.__version__} (that read it)")),
    )


def read_script(subject: Subject) -> Structure:
    """Operators of an inlined TorchScript graph, and its state."""
    import torch

    module = torch.jit.load(str(subject.path), map_location="cpu").eval()
    nodes = [node.kind() for node in module.inlined_graph.nodes()]
    operators = Counter(kind for kind in nodes if not kind.startswith("prim::"))
    products = {kind for kind in operators if _is_product(kind)}
    on_8_bit = {kind for kind in operators if kind.startswith("quantized::")}
    return Structure(
        operators=counted(operators),
        weights=summed(_state([*module.parameters(), *module.buffers()])),
        work=Work(reason="PyTorch counts operations of Python modules and exported programs only"),
        products=sum(operators[kind] for kind in products),
        products_on_8_bit=sum(operators[kind] for kind in products & on_8_bit),
        nodes_on_8_bit=sum(operators[kind] for kind in on_8_bit),
        facts=(("torch", f"{torch.__version__} (that read it)"),),
    )


def read_package(subject: Subject) -> Structure:
    """The files inside a package of native code, largest first: of its operators nothing is left to count."""
    with zipfile.ZipFile(subject.path) as archive:
        members = sorted(archive.infolist(), key=lambda member: -member.file_size)
    facts = tuple((f"file {member.filename}", f"{member.file_size} bytes") for member in members[:8])
    return Structure(
        operators=(OperatorCount(operator="native code", nodes=1),),
        work=Work(reason="native code: its operators are not in the file"),
        facts=facts,
    )


def _target(node: Any) -> str:
    target = node.target
    return str(target) if hasattr(target, "namespace") else getattr(target, "__qualname__", str(target))


def _is_product(name: str) -> bool:
    words = re.split("[^a-z0-9]+", name.lower())
    return any(word.rstrip("123d") in _PRODUCT_WORDS for word in words)


def _is_on_8_bit(node: Any) -> bool:
    """An operator of 8-bit tensors, or a float one whose inputs have all just been made of 8-bit values."""
    name = _target(node)
    if "quantize_per" in name:
        return False
    if "quantized" in name or "_int" in name:
        return True
    sources = [source for source in node.all_input_nodes if source.op == "call_function"]
    return bool(sources) and all("dequantize_per" in _target(source) for source in sources)


def _state(tensors: Iterable[Any]) -> Iterable[tuple[str, int]]:
    for tensor in tensors:
        if hasattr(tensor, "dtype"):
            yield str(tensor.dtype).removeprefix("torch."), int(tensor.numel())


def _work(subject: Subject, call: Callable[..., Any]) -> Work:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    if not subject.inputs:
        return Work(reason="its inputs are not known")
    work = Work()
    for size in _SIZES if sizes_of(subject.inputs).keys() - {"batch"} else _SIZES[:1]:
        sizes = sizes_of(subject.inputs, other=size)
        zeros = [torch.zeros(static_shape(spec, sizes), dtype=getattr(torch, spec.dtype)) for spec in subject.inputs]
        try:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                call(*zeros)
        except Exception as error:  # noqa: BLE001  the user's own code: which sizes it takes is its affair
            said = str(error).splitlines() or [""]
            work = Work(reason=f"one sample of zeros was not taken: {type(error).__name__}: {said[0]}")
            continue
        return Work(operations=counter.get_total_flops(), basis=stated(_BASIS, sizes))
    return work


def _facts(program: Any) -> tuple[tuple[str, str], ...]:
    import torch

    return (("dialect", str(program.dialect)), ("torch", f"{torch.__version__} (that read it)"))
