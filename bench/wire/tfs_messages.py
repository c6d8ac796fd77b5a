"""TensorFlow Serving's REST API for predictions, https://www.tensorflow.org/tfx/serving/api_rest, in its two formats.

Rows: {"instances": [...]}, one entry for each sample, plain where the model has one input and else an object; answered
with {"predictions": [...]} alike. Columns: {"inputs": ...}, answered with {"outputs": ...}. Bare NaN and Infinity are
read and written, and no instances are an error, as in TensorFlow Serving (`tensorflow_serving/util/json_tensor.cc`).
Texts are JSON's; `{"b64": ...}` is not understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from bench.core.artifact import TensorSpec

from .encoding import Message, WireError
from .json_text import answered_array, json_text, jsonable, parsed
from .json_types import Typed, batch_of, members, object_type, tensor_type
from .signature import answered, fitted

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

SIGNATURE = "serving_default"

_HEADERS = (("content-type", "application/json"),)


def predict_path(model: str) -> str:
    """Where predictions are asked of a model."""
    return f"/v1/models/{quote(model, safe='')}:predict"


def decode_predict(body: bytes, inputs: Sequence[TensorSpec]) -> tuple[Batch, bool]:
    """The batch of a request, and whether it came, and wants its answer, in rows."""
    request = _decoder(tuple(inputs)).decode(body, literals=True)
    if request.signature_name not in ("", SIGNATURE):
        raise WireError(f"the signature {request.signature_name[:100]!r} is not served, only {SIGNATURE!r}")
    has_rows = request.instances is not msgspec.UNSET
    if has_rows == (request.inputs is not msgspec.UNSET):
        raise WireError("one of 'instances' and 'inputs' is expected, and not both")
    values = _columns_of_rows(request.instances, inputs) if has_rows else _columns(request.inputs)
    return fitted(batch_of(values, inputs), inputs), has_rows


def _columns(value: Any) -> tuple[Any, ...]:
    return members(value) if isinstance(value, msgspec.Struct) else (value,)


def _columns_of_rows(instances: Sequence[Any], inputs: Sequence[TensorSpec]) -> tuple[Any, ...]:
    if not instances:
        raise WireError("no values in 'instances'")
    if not all(spec.shape for spec in inputs):
        raise WireError("an input of the model has no batch, so there are no rows; send columns")
    objects = [isinstance(instance, msgspec.Struct) for instance in instances]
    if not any(objects):
        return (instances,)
    if not all(objects):
        raise WireError("plain values and objects among the 'instances'")
    return tuple(map(list, zip(*map(members, instances), strict=True)))


@lru_cache(maxsize=16)
def _decoder(inputs: tuple[TensorSpec, ...]) -> Typed:
    return Typed(_request_type(inputs, lenient=False), _request_type(inputs, lenient=True))


def _request_type(inputs: tuple[TensorSpec, ...], *, lenient: bool) -> type[Any]:
    instance: Any = object_type(inputs, [spec.shape[1:] for spec in inputs], lenient=lenient)
    columns: Any = object_type(inputs, [spec.shape for spec in inputs], lenient=lenient)
    if len(inputs) == 1:
        instance |= tensor_type(inputs[0].dtype, inputs[0].shape[1:], lenient=lenient)
        columns |= tensor_type(inputs[0].dtype, inputs[0].shape, lenient=lenient)
    unset = msgspec.UnsetType
    fields = [
        ("signature_name", str, ""),
        ("instances", list[instance] | unset, msgspec.UNSET),
        ("inputs", columns | unset, msgspec.UNSET),
    ]
    return msgspec.defstruct("Request", fields)


def encode_predict(model: str, batch: Batch, *, rows: bool) -> Message:
    """The request in one of the formats."""
    body = _rows("instances", batch) if rows else _tensors("inputs", batch)
    return Message(body=body, path=predict_path(model), headers=_HEADERS)


def encode_predictions(outputs: Mapping[str, Array], specs: Sequence[TensorSpec], *, rows: bool) -> Message:
    """The answer in the format of its request."""
    tensors = {spec.name: outputs[spec.name] for spec in specs}
    body = _rows("predictions", tensors) if rows else _tensors("outputs", tensors)
    return Message(body=body, headers=_HEADERS)


def _rows(key: str, tensors: Mapping[str, Array]) -> bytes:
    """{key: [one entry for each sample]}; WireError when the tensors have no first axis in common."""
    if not all(array.ndim for array in tensors.values()) or len({len(array) for array in tensors.values()}) != 1:
        raise WireError("rows need tensors whose first axis is the batch, of equal length")
    arrays = {name: jsonable(array) for name, array in tensors.items()}
    rows: Any = next(iter(arrays.values()))
    if len(arrays) > 1:
        rows = [dict(zip(arrays, row, strict=True)) for row in zip(*arrays.values(), strict=True)]
    return json_text({key: rows}, list(tensors.values()))


def _tensors(key: str, tensors: Mapping[str, Array]) -> bytes:
    """{key: {name: nested lists}}, of one tensor {key: nested lists}."""
    arrays = {name: jsonable(array) for name, array in tensors.items()}
    value = arrays if len(arrays) > 1 else next(iter(arrays.values()))
    return json_text({key: value}, list(tensors.values()))


def decode_predictions(body: bytes, specs: Sequence[TensorSpec], *, rows: bool) -> Batch:
    """Outputs of any shape."""
    answer = parsed(body)
    value = answer.get("predictions" if rows else "outputs") if isinstance(answer, dict) else None
    if value is None:
        raise WireError("the answer has no predictions" if rows else "the answer has no outputs")
    columns = _named_columns(value) if rows else value
    if not isinstance(columns, dict) or (len(specs) == 1 and specs[0].name not in columns):
        columns = {specs[0].name: columns}
    found = {spec.name: answered_array(columns[spec.name], spec) for spec in specs if spec.name in columns}
    return answered(found, specs)


def _named_columns(rows: Any) -> Any:
    """Objects of equal names as one object of lists; what is no list of objects stays as it is."""
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return rows
    if any(not isinstance(row, dict) or row.keys() != rows[0].keys() for row in rows):
        raise WireError("the predictions differ in their outputs")
    return {name: [row[name] for row in rows] for name in rows[0]}
