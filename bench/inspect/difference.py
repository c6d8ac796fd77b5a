"""What differs between two models, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.core.artifact import TensorSpec

from .inspection import Inspection


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """One property of two models: numbers, words, or None where one of them does not have it."""

    what: str
    first: int | str | None
    second: int | str | None


def differences(first: Inspection, second: Inspection) -> tuple[Contrast, ...]:
    """Properties, tensors, weights and operators in which two models are not the same."""
    rows = [
        *_properties(first, second),
        *_by_name("input", _tensors(first.inputs), _tensors(second.inputs)),
        *_by_name("output", _tensors(first.outputs), _tensors(second.outputs)),
        *_by_name("bytes of", _bytes(first), _bytes(second)),
        *_by_name("operator", _operators(first), _operators(second)),
        *_by_name("", dict(first.structure.facts), dict(second.structure.facts)),
    ]
    return tuple(row for row in rows if row.first != row.second)


def _properties(first: Inspection, second: Inspection) -> list[Contrast]:
    pairs = zip(_values(first).items(), _values(second).values(), strict=True)
    return [Contrast(what=what, first=before, second=after) for (what, before), after in pairs]


def _values(told: Inspection) -> dict[str, int | str | None]:
    structure = told.structure
    return {
        "format": told.format,
        "size_bytes": told.size_bytes,
        "unit": structure.unit,
        "nodes": structure.nodes,
        "parameters": structure.parameters,
        "operations": structure.work.operations,
        "operations per": told.work_per,
        "operations counted": structure.work.basis or structure.work.reason,
        "products": structure.products,
        "products on 8 bit": structure.products_on_8_bit,
        "nodes on 8 bit": structure.nodes_on_8_bit,
    }


def _tensors(specs: Sequence[TensorSpec]) -> dict[str, str]:
    return {spec.name: tensor_text(spec) for spec in specs}


def tensor_text(spec: TensorSpec) -> str:
    """Element type and shape as people write them."""
    return f"{spec.dtype} [{', '.join(map(str, spec.shape))}]"


def _bytes(told: Inspection) -> dict[str, int]:
    return {entry.dtype: entry.size_bytes for entry in told.structure.weights}


def _operators(told: Inspection) -> dict[str, int]:
    return {entry.operator: entry.nodes for entry in told.structure.operators}


def _by_name(what: str, first: Mapping[str, int | str], second: Mapping[str, int | str]) -> list[Contrast]:
    names = list(dict.fromkeys((*first, *second)))
    return [Contrast(what=f"{what} {name}".strip(), first=first.get(name), second=second.get(name)) for name in names]
