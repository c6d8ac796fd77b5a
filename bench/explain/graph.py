"""A model file as nodes and named tensors, and which tensors of a variant stand for which of its reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

#: Operators that hand in what the caller gives: they read nothing, and are no constants.
_INPUTS = ("Placeholder", "_Arg", "Random")
_ROUNDED = "_DequantizeLinear_Output"
#: What quantizers append to the name of a tensor whose values, but for rounding, they keep.
_SAME_VALUES = (_ROUNDED, "_QuantizeLinear_Input", "_dequantized", "_quantized")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One operation; `inputs` and `outputs` are names of tensors."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)  # no slots: what is derived is computed once and kept
class Graph:
    """The nodes in topological order, and the tensors that are constants of the file."""

    nodes: tuple[Node, ...]
    constants: frozenset[str] = frozenset()

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each tensor."""
        return {output: node for node in self.nodes for output in node.outputs}

    def tensors(self) -> Iterator[str]:
        """What the nodes make, in topological order, but constants, and what is made of constants alone, right before
        the node that reads them first: files list all their weights at the beginning."""
        fixed = self._fixed()
        told: set[str] = set()
        for node in self.nodes:
            if not fixed.issuperset(node.outputs):
                yield from self._fixed_before(node, fixed, told)
                yield from node.outputs

    def _fixed(self) -> set[str]:
        """The tensors that do not depend on the inputs of the model."""
        fixed = set(self.constants)
        for node in self.nodes:
            if fixed.issuperset(node.inputs) and not node.operator.startswith(_INPUTS):
                fixed.update(node.outputs)
        return fixed

    def _fixed_before(self, node: Node, fixed: set[str], told: set[str]) -> Iterator[str]:
        for name in node.inputs:
            if name in fixed and name not in told:
                told.add(name)
                made_by = self.producers.get(name)
                if made_by is not None:
                    yield from self._fixed_before(made_by, fixed, told)
                yield name


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A tensor of the variant and the one of the reference that it stands for."""

    reference: str
    variant: str


def match(reference: Graph, variant: Graph) -> tuple[Pair, ...]:
    """Every tensor of the variant whose name, or whose name without a quantizer's suffix, the reference knows.

    In the variant's topological order. Of a tensor that is quantized and dequantized again the rounded form is taken:
    the other one may lack what the quantizer has made part of the rounding, such as a ReLU before it.
    """
    known = set(reference.tensors())
    names = list(variant.tensors())
    rounded = {name.removesuffix(_ROUNDED) for name in names if name.endswith(_ROUNDED)}
    pairs = ((_original(name, known), name) for name in names if name not in rounded)
    return tuple(Pair(reference=original, variant=name) for original, name in pairs if original)


def _original(name: str, known: set[str]) -> str:
    if name in known:
        return name
    return next((stem for stem in (name.removesuffix(suffix) for suffix in _SAME_VALUES) if stem in known), "")


def nearest(graph: Graph, tensor: str, among: frozenset[str]) -> tuple[str, ...]:
    """The tensors of `among` that `tensor` is computed from with none of them in between, in the order of inputs."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = _inputs(graph, tensor)
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        if name in among:
            found[name] = None
        else:
            waiting += _inputs(graph, name)
    return tuple(found)


def _inputs(graph: Graph, tensor: str) -> list[str]:
    node = graph.producers.get(tensor)
    return list(node.inputs) if node is not None else []


def in_order(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes so that each stands after those that it reads from; a cycle's nodes keep their order at the end."""
    makers = {output: position for position, node in enumerate(nodes) for output in node.outputs}
    needs = [{makers[name] for name in node.inputs if name in makers} for node in nodes]
    readers: dict[int, list[int]] = {}
    for position, needed in enumerate(needs):
        for maker in needed:
            readers.setdefault(maker, []).append(position)
    left = [len(needed) for needed in needs]
    ready = [position for position, count in enumerate(left) if count == 0]
    done: dict[int, None] = {}
    for position in ready:  # grows while it is read
        done[position] = None
        for reader in readers.get(position, ()):
            left[reader] -= 1
            if left[reader] == 0:
                ready.append(reader)
    rest = (position for position in range(len(nodes)) if position not in done)
    return tuple(nodes[position] for position in (*done, *rest))
