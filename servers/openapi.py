"""The OpenAPI document (3.0) of a server, made from its model's signature, with requests ready to be sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bench
from bench import wire
from bench.core.artifact import TensorSpec
from bench.core.serving import IDENTITY_PATH
from bench.formats.tokenizer import MAX_TEXTS
from bench.wire.dtypes import element_type
from bench.wire.json_text import parsed
from bench.wire.kserve_messages import inference_path
from bench.wire.tfs_messages import predict_path

from .exchange import CONTENT_TYPES, PREDICT_PATH
from .gateway_text import SENTENCES_PATH

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

    from .model import ServedModel

_JSON = "application/json"
_MAX_EXAMPLE_ELEMENTS = 20_000
_TYPES = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "O": "string"}
_ERRORS = {
    "400": "the body is not understood, or does not fit the model",
    "413": "the body is too large",
    "500": "the model cannot answer",
    "503": "as many requests wait as may",
}


def openapi(model: ServedModel) -> Mapping[str, Any]:
    """The document, as JSON objects."""
    name = model.service.model
    paths = {
        PREDICT_PATH: _post(
            model, "our own path; the answer comes in the encoding of the request", "json", _plain(model)
        ),
        inference_path(name): _post(model, "Open Inference Protocol (KServe v2)", "kserve", _kserve_schema(model)),
        predict_path(name): _post(model, "TensorFlow Serving, in rows or columns", "tfs_row", _row_schema(model)),
    }
    paths[PREDICT_PATH]["post"]["requestBody"]["content"] |= {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in CONTENT_TYPES if kind != _JSON
    }
    if model.service.tokenizer:
        paths[SENTENCES_PATH] = _sentences()
    for path, summary in _pages(name).items():
        paths[path] = {"get": {"summary": summary, "responses": {"200": {"description": "as JSON"}}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": f"{name}, served by deploybench", "version": bench.__version__, "description": _about(model)},
        "paths": paths,
    }


def _pages(name: str) -> Mapping[str, str]:
    kserve, tensorflow = inference_path(name).removesuffix("/infer"), predict_path(name).removesuffix(":predict")
    return {
        "/v2": "the server (Open Inference Protocol)",
        "/v2/health/live": "whether the server runs",
        "/v2/health/ready": "whether the model is loaded",
        "/v2/models": "the models served, of which there is one",
        kserve: "the model's signature (Open Inference Protocol)",
        f"{kserve}/ready": "whether the model is loaded",
        tensorflow: "the model's state (TensorFlow Serving)",
        f"{tensorflow}/metadata": "the model's signature (TensorFlow Serving)",
        IDENTITY_PATH: "which process this is, and what it serves",
    }


def _about(model: ServedModel) -> str:
    def told(specs: Sequence[TensorSpec]) -> str:
        return ", ".join(f"`{spec.name}` {spec.dtype} {list(spec.shape)}" for spec in specs)

    return f"Inputs: {told(model.inputs)}. Outputs: {told(model.outputs)}. Adapter: {model.service.adapter}."


def _post(model: ServedModel, summary: str, encoding: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    example = _example(model, encoding)
    if example is not None:
        content["example"] = example
    return _operation(summary, content)


def _sentences() -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_TEXTS}
    example = {"sentences": ["one text", "and another"]}
    content = {"schema": _object({"sentences": texts}), "example": example}
    return _operation("texts in place of token ids; answered as our own path answers JSON", content)


def _operation(summary: str, content: Mapping[str, Any]) -> dict[str, Any]:
    failures = {status: {"description": text} for status, text in _ERRORS.items()}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {_JSON: content}},
            "responses": {"200": {"description": "the outputs"}, **failures},
        }
    }


def _example(model: ServedModel, encoding: str) -> Any:
    """One sample of zeros in an encoding of JSON; None where it would be too long to look at, or cannot be said."""
    sizes = [[1 if isinstance(size, str) else size for size in spec.shape] for spec in model.inputs]
    if sum(map(math.prod, sizes)) > _MAX_EXAMPLE_ELEMENTS:
        return None
    batch: Batch = {spec.name: _zeros(spec, shape) for spec, shape in zip(model.inputs, sizes, strict=True)}
    try:
        return parsed(wire.encoding(encoding).encode_request("", batch, model.outputs).body)
    except wire.WireError:
        return None


def _zeros(spec: TensorSpec, shape: Sequence[int]) -> Array:
    if spec.dtype == "str":
        return np.full(shape, "text", dtype=object)
    return np.zeros(shape, element_type(spec.dtype))


def _tensor_schema(spec: TensorSpec, shape: Sequence[int | str]) -> Mapping[str, Any]:
    schema: dict[str, Any] = {"type": _TYPES[element_type(spec.dtype).kind]}
    for size in reversed(shape):
        schema = {"type": "array", "items": schema}
        if isinstance(size, str):
            schema["description"] = size
        else:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _plain(model: ServedModel) -> Mapping[str, Any]:
    return _object({"inputs": _object({spec.name: _tensor_schema(spec, spec.shape) for spec in model.inputs})})


def _row_schema(model: ServedModel) -> Mapping[str, Any]:
    row: Mapping[str, Any] = _object({spec.name: _tensor_schema(spec, spec.shape[1:]) for spec in model.inputs})
    if len(model.inputs) == 1:
        row = _tensor_schema(model.inputs[0], model.inputs[0].shape[1:])
    return _object({"instances": {"type": "array", "items": row}})


def _kserve_schema(model: ServedModel) -> Mapping[str, Any]:
    whole = {"type": "array", "items": {"type": "integer"}}
    tensor = _object({"name": {"type": "string"}, "shape": whole, "datatype": {"type": "string"}})
    count = len(model.inputs)
    return _object({"inputs": {"type": "array", "items": tensor, "minItems": count, "maxItems": count}})
