"""Whether the tensors of a message are those of a model's signature."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.core.artifact import TensorSpec

from .dtypes import element_type
from .encoding import WireError

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

_MAX_NAME_CHARS = 100  # of a name in a message: the sender chose it


def require_names(found: Collection[str], specs: Sequence[TensorSpec], kind: str = "input") -> None:
    """WireError names the first tensor that is missing, or that the model does not have."""
    known = [spec.name for spec in specs]
    missing = [name for name in known if name not in found]
    if missing:
        raise WireError(f"{kind} {missing[0]!r} is missing; the model has {', '.join(known)}")
    unknown = [name for name in found if name not in known]
    if unknown:
        raise WireError(f"{unknown[0][:_MAX_NAME_CHARS]!r} is no {kind} of the model; it has {', '.join(known)}")
    if len(found) != len(known):
        raise WireError(f"an {kind} is given twice")


def fitted(found: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Batch:
    """The inputs in the order of the signature, once names, element types and shapes are what it says."""
    require_names(found, specs)
    sizes: dict[str, int] = {}
    batch = {}
    for spec in specs:
        array = found[spec.name]
        if array.dtype != element_type(spec.dtype):
            raise WireError(f"input {spec.name!r} is {array.dtype}, the model takes {spec.dtype}")
        require_shape(spec, array.shape, sizes)
        batch[spec.name] = array
    return batch


def require_shape(spec: TensorSpec, shape: Sequence[int], sizes: dict[str, int]) -> None:
    """WireError when an input's shape is not the signature's; `sizes` remembers those of named dimensions."""
    fits = len(shape) == len(spec.shape)
    for declared, size in zip(spec.shape, shape, strict=False):
        fits &= size == (sizes.setdefault(declared, size) if isinstance(declared, str) else declared)
    if not fits:
        given = str(list(shape))[:_MAX_NAME_CHARS]
        known = f" where {', '.join(f'{name} is {size}' for name, size in sizes.items())}" if sizes else ""
        raise WireError(f"input {spec.name!r} has the shape {given}, the model takes {list(spec.shape)}{known}")


def answered(found: Mapping[str, Array], specs: Sequence[TensorSpec]) -> Batch:
    """The outputs that a client knows, in the order of the signature; a foreign server may answer with more."""
    missing = [spec.name for spec in specs if spec.name not in found]
    if missing:
        raise WireError(f"the answer lacks output {missing[0]!r}")
    return {spec.name: found[spec.name] for spec in specs}
