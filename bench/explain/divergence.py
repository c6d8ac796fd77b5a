"""The first tensor where a variant leaves its reference, from the errors of all tensors that the two have in common.

A tensor counts as the origin only if an unbroken chain of tensors outside the tolerance leads from it to an output.
One that differs while all that follows agrees bears the same name and means something else: a folded normalization,
a reordered layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .graph import Graph, Node, nearest

_WORST_SHOWN = 12
#: The operator of what no node makes.
CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorError:
    """How far one tensor of the variant is from its partner in the reference, over all inputs that were run.

    `relative_error` is max abs difference / max abs reference value; `problem` says in what way it is outside the
    tolerance, and is empty where it is not.
    """

    tensor: str
    reference_tensor: str
    node: str
    operator: str
    relative_error: float | None
    cosine: float | None
    max_abs_error: float | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where a variant leaves its reference.

    `outputs` are those of the untouched models, each run as its cell runs it. `against` names what the tensors were
    compared with, empty where no tensor inside could be compared. `first` is the origin, None where there is none;
    `first_inputs` are the compared tensors that it is computed from. `jump` is the tensor whose error is most above
    that of its inputs. `detours` counts tensors outside the tolerance from which no such chain leads to an output.
    """

    reference: str
    variant: str
    against: str
    tolerance: str
    batches: int
    outputs: tuple[TensorError, ...]
    compared: int = 0
    tensors: int = 0  # of the variant
    first: TensorError | None = None
    first_inputs: tuple[TensorError, ...] = ()
    jump: TensorError | None = None
    jump_inputs: tuple[TensorError, ...] = ()
    worst: tuple[TensorError, ...] = ()
    detours: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """What `locate` finds inside the graph."""

    first: TensorError | None
    first_inputs: tuple[TensorError, ...]
    jump: TensorError | None
    jump_inputs: tuple[TensorError, ...]
    worst: tuple[TensorError, ...]
    detours: int


def producer_of(graph: Graph, tensor: str) -> Node:
    """The node that makes a tensor; constants and inputs stand for themselves.

    Of a tensor that was quantized and dequantized it is the node that computed it, as `Conv, rounded`.
    """
    made_by = graph.producers.get(tensor)
    if made_by is None:
        return Node(name=tensor, operator=CONSTANT, inputs=(), outputs=(tensor,))
    quantized = graph.producers.get(made_by.inputs[0]) if made_by.operator == "DequantizeLinear" else None
    if quantized is None or quantized.operator != "QuantizeLinear":
        return made_by
    computed = graph.producers.get(quantized.inputs[0])
    return made_by if computed is None else replace(computed, operator=f"{computed.operator}, rounded")


def locate(graph: Graph, errors: Sequence[TensorError], outputs: Sequence[str]) -> Location:
    """The origin among `errors`, which are in topological order; `outputs` are the graph's, by the names inside."""
    by_name = {error.tensor: error for error in errors}
    among = frozenset(by_name)
    parents = {error.tensor: nearest(graph, error.tensor, among) for error in errors}
    chained = _chained(by_name, parents, graph, outputs)
    first = next((error for error in errors if error.tensor in chained), None)
    jump = max(errors, key=lambda error: _jump(error, by_name, parents), default=None)
    if jump is not None and _jump(jump, by_name, parents) <= 0:
        jump = None
    return Location(
        first=first,
        first_inputs=_inputs_of(first, by_name, parents),
        jump=jump,
        jump_inputs=_inputs_of(jump, by_name, parents),
        worst=tuple(sorted(errors, key=_size, reverse=True)[:_WORST_SHOWN]),
        detours=sum(1 for error in errors if error.problem and error.tensor not in chained),
    )


def _chained(
    errors: Mapping[str, TensorError], parents: Mapping[str, Sequence[str]], graph: Graph, outputs: Sequence[str]
) -> set[str]:
    """The tensors outside the tolerance from which others such lead to an output."""
    among = frozenset(errors)
    ends = [name for output in outputs for name in ([output] if output in errors else nearest(graph, output, among))]
    waiting = [name for name in ends if errors[name].problem]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [parent for parent in parents[name] if errors[parent].problem]
    return reached


def _inputs_of(
    error: TensorError | None, errors: Mapping[str, TensorError], parents: Mapping[str, Sequence[str]]
) -> tuple[TensorError, ...]:
    return () if error is None else tuple(errors[name] for name in parents[error.tensor])


def _size(error: TensorError) -> float:
    """What errors are ordered by; values that are not finite have no number and come first."""
    return error.relative_error if error.relative_error is not None else float("inf") if error.problem else 0.0


def _jump(error: TensorError, errors: Mapping[str, TensorError], parents: Mapping[str, Sequence[str]]) -> float:
    before = max((_size(errors[name]) for name in parents[error.tensor]), default=0.0)
    return _size(error) - before if before != float("inf") else 0.0
