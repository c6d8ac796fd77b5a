"""How much one call costs: sizes for dynamic dimensions, and a count of our own where no tool has one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.core.artifact import TensorSpec

from .inspection import Work

OWN_BASIS = "multiply-adds of matrix products and convolutions only"
_BATCH = "batch"
#: A dynamic dimension other than the batch has no natural size; this one is named beside the number.
OTHER_SIZE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One matrix product or convolution; `multiply_adds` None where a shape is not known."""

    operator: str
    multiply_adds: int | None
    is_on_8_bit: bool


def sizes_of(inputs: Iterable[TensorSpec], *, other: int = OTHER_SIZE) -> dict[str, int]:
    """The size taken for each dynamic dimension: one sample, and 128 of anything else where not said otherwise."""
    dims = [dim for spec in inputs for dim in spec.shape if isinstance(dim, str)]
    return {dim: 1 if dim == _BATCH else other for dim in dims}


def static_shape(spec: TensorSpec, sizes: dict[str, int]) -> list[int]:
    """The shape of a tensor with the sizes taken."""
    return [sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape]


def stated(basis: str, sizes: dict[str, int]) -> str:
    """The basis of a count with the sizes that were chosen for it."""
    chosen = [f"{name} {size}" for name, size in sizes.items() if name != _BATCH]
    return f"{basis}, at {', '.join(chosen)}" if chosen else basis


def own_work(products: Sequence[Product], sizes: dict[str, int], not_counted: Iterable[str] = ()) -> Work:
    """The sum of all products; not known when one is not, for a part would pass for the whole."""
    missing = sorted({product.operator for product in products if product.multiply_adds is None})
    if missing:
        return Work(reason=f"the shapes of {', '.join(missing)} are not known")
    left_out = sorted(set(not_counted))
    basis = stated(OWN_BASIS, sizes) + (f"; not counted: {', '.join(left_out)}" if left_out else "")
    return Work(operations=sum(product.multiply_adds or 0 for product in products), basis=basis)


def known_product(*factors: Sequence[int | None] | None) -> int | None:
    """The product of all sizes in all shapes; None when one of them is not known."""
    sizes = [size for shape in factors for size in (shape if shape is not None else [None])]
    known = [size for size in sizes if size is not None and size >= 0]
    return math.prod(known) if len(known) == len(sizes) else None
