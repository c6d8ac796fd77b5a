"""What is told of a model file: plain frozen data that a child sends and the command line shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.artifact import TensorSpec

_BITS = re.compile(r"(?:float|bfloat|u?int|complex|bool)(\d+)")
_DEFAULT_BITS = 8
#: What a parameter is stored as; wider integers are shapes, indices and biases of quantized products.
_PARAMETER_BITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorCount:
    """How often an operator, a layer or a kind of module stands in a model."""

    operator: str
    nodes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """All constants of one element type together."""

    dtype: str
    values: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The arithmetic of one call, at a batch of one where the batch is dynamic.

    `basis` says what is counted and by whom; `reason` why it is not known.
    """

    operations: int | None = None
    basis: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """What a reader found in a file.

    `unit` is what `operators` counts: nodes, layers or modules. `products` are matrix products and convolutions,
    `products_on_8_bit` those of them that multiply 8-bit values, and `nodes_on_8_bit` all nodes that compute on 8-bit
    values, conversions to and from them not counted.
    """

    unit: str = "nodes"
    operators: tuple[OperatorCount, ...] = ()
    weights: tuple[Weights, ...] = ()
    work: Work = Work()
    products: int = 0
    products_on_8_bit: int = 0
    nodes_on_8_bit: int = 0
    facts: tuple[tuple[str, str], ...] = ()
    unread: str = ""  # why nothing of the above is known

    @property
    def nodes(self) -> int:
        """All operators together."""
        return sum(entry.nodes for entry in self.operators)

    @property
    def parameters(self) -> int:
        """Values stored as floating-point numbers or as integers of at most 16 bits."""
        return sum(
            entry.values
            for entry in self.weights
            if "float" in entry.dtype or ("int" in entry.dtype and bits_of(entry.dtype) <= _PARAMETER_BITS)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """All that is told of one model; `notes` are sentences about how it was read."""

    location: str
    format: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    structure: Structure = Structure()
    notes: tuple[str, ...] = ()

    @property
    def work_per(self) -> str:
        """What the work is that of: one sample, or one call of a model whose inputs have another fixed first axis."""
        firsts = {spec.shape[0] if spec.shape else "" for spec in self.inputs}
        if "batch" in firsts or firsts == {1}:
            return "sample"
        (first,) = firsts if len(firsts) == 1 else ("",)
        return f"call (batch {first})" if isinstance(first, int) else "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a reader is given: `load` opens the file with the loader that adapters use, where there is one."""

    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    load: Callable[[], Any]


def bits_of(dtype: str) -> int:
    """Bits of one value of an element type by its name; 8 for what has no number in its name."""
    match = _BITS.match(dtype)
    return int(match[1]) if match else _DEFAULT_BITS


def counted(operators: Mapping[str, int]) -> tuple[OperatorCount, ...]:
    """Operators, the most frequent first."""
    ordered = sorted(operators.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(OperatorCount(operator=name, nodes=count) for name, count in ordered)


def summed(constants: Iterable[tuple[str, int]]) -> tuple[Weights, ...]:
    """Weights by element type from (dtype, number of values) of each constant, the most bytes first."""
    values: Counter[str] = Counter()
    for dtype, count in constants:
        values[dtype] += count
    found = [
        Weights(dtype=dtype, values=count, size_bytes=(count * bits_of(dtype) + 7) // 8)
        for dtype, count in values.items()
    ]
    return tuple(sorted(found, key=lambda entry: (-entry.size_bytes, entry.dtype)))
