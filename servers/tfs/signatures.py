"""What a model offers to the protocol: signatures by name, and which outputs answer Classify and Regress.

`serving_default` takes and gives tensors. Where an output fits, `classification` and `regression` take serialized
tensorflow.Example messages besides, under the names and with the tensor names that Estimator exports have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.artifact import TensorSpec
from bench.wire.protobuf import tensorflow
from bench.wire.protobuf.tensors import DATA_TYPES, TEXT

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

_DYNAMIC = -1
_EXAMPLES = TensorSpec(name="inputs", dtype=TEXT, shape=("batch",), native="input_example_tensor:0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """Definitions by name; `scores`, `classes` and `regressed` are the model's outputs behind the other two methods."""

    definitions: Mapping[str, Any]  # of tensorflow.SignatureDef
    scores: TensorSpec | None
    classes: TensorSpec | None
    regressed: TensorSpec | None


def signatures_of(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], stored: Mapping[str, Any] | None = None
) -> Signatures:
    """The signatures of a model with these tensors; `stored` are those that its own file defines."""
    scores = _only(outputs, "scores", lambda spec: _is_number(spec) and len(spec.shape) == 2)
    classes = _only(outputs, "classes", lambda spec: spec.dtype == TEXT and len(spec.shape) == 2)
    regressed = _only(outputs, "outputs", lambda spec: _is_number(spec) and spec.shape[1:] in ((), (1,)))
    definitions = dict(stored) if stored else {DEFAULT_SIGNATURE: _definition(inputs, outputs, PREDICT_METHOD)}
    if scores or classes:
        found = [_renamed(spec, name) for spec, name in ((classes, "classes"), (scores, "scores")) if spec]
        definitions.setdefault("classification", _definition((_EXAMPLES,), found, CLASSIFY_METHOD))
    if regressed:
        definitions.setdefault(
            "regression", _definition((_EXAMPLES,), (_renamed(regressed, "outputs"),), REGRESS_METHOD)
        )
    return Signatures(definitions=definitions, scores=scores, classes=classes, regressed=regressed)


def _only(outputs: Sequence[TensorSpec], name: str, fits: Callable[[TensorSpec], bool]) -> TensorSpec | None:
    """The fitting output of that name, or the only fitting one: with several of them nobody can know which is meant."""
    fitting = [spec for spec in outputs if spec.shape and isinstance(spec.shape[0], str) and fits(spec)]
    named = [spec for spec in fitting if spec.name == name]
    return (named or fitting)[0] if named or len(fitting) == 1 else None


def _is_number(spec: TensorSpec) -> bool:
    return spec.dtype.startswith("float")


def _renamed(spec: TensorSpec, name: str) -> TensorSpec:
    return TensorSpec(name=name, dtype=spec.dtype, shape=spec.shape, native=spec.native_name)


def _definition(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], method: str) -> Any:
    definition = tensorflow.SignatureDef(method_name=method)
    for infos, specs in ((definition.inputs, inputs), (definition.outputs, outputs)):
        for spec in specs:
            info = infos[spec.name]
            info.name = spec.native_name
            info.dtype = DATA_TYPES.get(spec.dtype, 0)
            for dim in spec.shape:
                info.tensor_shape.dim.add(size=_DYNAMIC if isinstance(dim, str) else dim)
    return definition
