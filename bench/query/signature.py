"""What a server says of a model's tensors, in each protocol's words, as specs.

A size that may vary is told as -1; here it gets a name of its own, for no protocol says which of them are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from bench.wire.dtypes import KSERVE_NAMES

_SIGNATURE = "serving_default"
_NAMES_BY_KSERVE: Mapping[str, str] = {theirs: ours for ours, theirs in KSERVE_NAMES.items()}
#: TensorFlow's names where they are not `DT_` and ours in capitals.
_NAMES_BY_TENSORFLOW: Mapping[str, str] = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_STRING": "str",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A served model's tensors and, where the server tells one, its version."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    version: str = ""


def of_kserve(told: Any) -> Signature:
    """From the JSON of GET /v2/models/<model>; TargetError when it is none."""
    try:
        return Signature(
            inputs=_kserve_specs(told["inputs"]),
            outputs=_kserve_specs(told["outputs"]),
            version=", ".join(map(str, told.get("versions") or ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(error) from error


def _kserve_specs(tensors: Iterable[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        spec_of(each["name"], _NAMES_BY_KSERVE[each["datatype"]], [int(size) for size in each["shape"]])
        for each in tensors
    )


def of_tfs_rest(told: Any) -> Signature:
    """From the JSON of GET /v1/models/<model>/metadata; TargetError when it is none."""
    try:
        signature = told["metadata"]["signature_def"]["signature_def"][_SIGNATURE]
        return Signature(
            inputs=_tensorflow_specs(signature["inputs"]),
            outputs=_tensorflow_specs(signature["outputs"]),
            version=str(told.get("model_spec", {}).get("version", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(error) from error


def _tensorflow_specs(tensors: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        tensorflow_spec(
            name,
            each["dtype"],
            [int(dim["size"]) for dim in each["tensor_shape"].get("dim", ())],
            is_known=not each["tensor_shape"].get("unknown_rank", False),
        )
        for name, each in sorted(tensors.items())
    )


def tensorflow_spec(name: str, data_type: str, sizes: Sequence[int], *, is_known: bool) -> TensorSpec:
    """The spec of a TensorInfo; ValueError where the model itself does not tell the shape."""
    if not is_known:
        raise ValueError(f"the shape of {name!r} is not known to the server")
    return spec_of(name, _NAMES_BY_TENSORFLOW.get(data_type) or data_type.removeprefix("DT_").lower(), sizes)


def spec_of(name: str, dtype: str, sizes: Sequence[int]) -> TensorSpec:
    """The spec of a tensor in which -1 stands for any size."""
    shape = tuple(size if size >= 0 else f"{name}:{axis}" for axis, size in enumerate(sizes))
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def shape_text(spec: TensorSpec) -> str:
    """A shape as people write it, e.g. `float32 [?, 28, 28, 1]`."""
    return f"{spec.dtype} [{', '.join('?' if isinstance(size, str) else str(size) for size in spec.shape)}]"


def _unreadable(error: Exception) -> TargetError:
    what = f"{error} is missing or unknown" if isinstance(error, KeyError) else str(error)
    return TargetError(
        f"the server's words on the model's tensors cannot be read: {what}",
        hint="is it a server of one of the protocols? bench query --help",
    )
