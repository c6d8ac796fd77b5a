"""tensorflow.Example messages as a model's inputs, as a graph with a parsing operator would read them.

A model whose only input is a vector of text takes the serialized messages themselves. For any other, each input is the
feature of its name, with as many values in each example as the input has elements in a sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.artifact import TensorSpec
from bench.wire.protobuf import tensorflow
from bench.wire.protobuf.tensors import TEXT, text_of

from .status import StatusError

if TYPE_CHECKING:
    from bench.core.contracts import Array

#: Kind of an element type -> fields of a feature that can hold it; whole numbers may stand for others.
_FIELDS = {
    "f": ("float_list", "int64_list"),
    "i": ("int64_list",),
    "u": ("int64_list",),
    "b": ("int64_list",),
    "O": ("bytes_list",),
}


def examples_in(message: Any) -> list[Any]:
    """The examples of a tensorflow.serving.Input, each with the features of the common context; StatusError when there
    are none."""
    if message.WhichOneof("kind") == "example_list_with_context":
        context = message.example_list_with_context.context
        examples = []
        for example in message.example_list_with_context.examples:
            merged = tensorflow.Example()
            merged.CopyFrom(context)
            merged.MergeFrom(example)
            examples.append(merged)
    else:
        examples = list(message.example_list.examples)
    if not examples:
        raise StatusError("INVALID_ARGUMENT", "Input is empty.")
    return examples


def batch_of(examples: Sequence[Any], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The model's inputs; StatusError names the feature that is missing or does not fit."""
    if len(inputs) == 1 and inputs[0].dtype == TEXT and len(inputs[0].shape) == 1:
        serialized = np.empty(len(examples), object)
        serialized[:] = [example.SerializeToString() for example in examples]
        return {inputs[0].name: serialized}
    return {spec.name: _feature_of_all(examples, spec) for spec in inputs}


def _feature_of_all(examples: Sequence[Any], spec: TensorSpec) -> Array:
    if not spec.shape or spec.shape[0] not in ("batch", len(examples)):
        raise StatusError("INVALID_ARGUMENT", f"{len(examples)} examples cannot fill input {spec.name!r} {spec.shape}")
    samples = [_feature(example, spec) for example in examples]
    if len({len(sample) for sample in samples}) > 1:
        raise StatusError("INVALID_ARGUMENT", f"the examples have feature {spec.name!r} in different lengths")
    return np.stack(samples).reshape(len(examples), *_sample_shape(spec, len(samples[0])))


def _feature(example: Any, spec: TensorSpec) -> Array:
    kind = "O" if spec.dtype == TEXT else np.dtype(spec.dtype).kind
    feature = example.features.feature.get(spec.name)
    if feature is None:
        raise StatusError("INVALID_ARGUMENT", f"Feature: {spec.name} (data type: {spec.dtype}) is required")
    field = feature.WhichOneof("kind")
    if field not in _FIELDS.get(kind, ()):
        raise StatusError("INVALID_ARGUMENT", f"feature {spec.name!r} is a {field}, the model takes {spec.dtype}")
    values = getattr(feature, field).value
    if kind == "O":
        return text_of(values)
    array: Array = np.asarray(values) if len(values) else np.zeros(0)
    narrowed = array.astype(spec.dtype)
    if field == "int64_list" and not np.array_equal(narrowed, array):
        raise StatusError("INVALID_ARGUMENT", f"feature {spec.name!r} has values that {spec.dtype} cannot hold")
    return narrowed


def _sample_shape(spec: TensorSpec, count: int) -> list[int]:
    """The shape of one sample of `count` values, with at most one size that follows from them."""
    fixed = math.prod(dim for dim in spec.shape[1:] if isinstance(dim, int))
    free = sum(isinstance(dim, str) for dim in spec.shape[1:])
    fits = count == fixed if not free else free == 1 and fixed and count % fixed == 0
    if not fits:
        raise StatusError(
            "INVALID_ARGUMENT", f"feature {spec.name!r} has {count} values, which do not make {list(spec.shape[1:])}"
        )
    return [count // fixed if isinstance(dim, str) else dim for dim in spec.shape[1:]]
