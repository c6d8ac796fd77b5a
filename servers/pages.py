"""What a server tells about itself and its model: who it is, its health, its signature as the protocols have it.

Open Inference Protocol (KServe v2): /v2 and below. TensorFlow Serving: status and metadata of /v1/models/<model>.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import bench
from bench.core.artifact import TensorSpec
from bench.core.serving import IDENTITY_PATH
from bench.wire.dtypes import KSERVE_NAMES
from bench.wire.kserve_messages import VERSION
from bench.wire.tfs_messages import SIGNATURE

from .counters import read_counters
from .docs_page import DOCUMENT_PATH, docs_pages
from .http_messages import Response, json_response
from .openapi import openapi

if TYPE_CHECKING:
    from .model import ServedModel

_TENSORFLOW_NAMES = {
    "bool": "DT_BOOL", "float16": "DT_HALF", "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "int8": "DT_INT8",
    "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64", "str": "DT_STRING", "uint8": "DT_UINT8",
    "uint16": "DT_UINT16", "uint32": "DT_UINT32", "uint64": "DT_UINT64",
}  # fmt: skip
_SIGNATURE_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

_METRIC = "deploybench_requests_total"

Pages = dict[str, Callable[[], Response]]


def pages(model: ServedModel, counters_dir: Path) -> Pages:
    """Path -> what makes its answer to GET."""
    found: Pages = {IDENTITY_PATH: lambda: json_response(model.identity)}
    found |= {path: partial(json_response, document) for path, document in _documents(model).items()}
    found |= docs_pages()
    found[DOCUMENT_PATH] = lambda: json_response(openapi(model))
    found["/metrics"] = partial(_metrics, counters_dir)
    return found


def _metrics(counters_dir: Path) -> Response:
    """Counts of every process that serves from the directory, as Prometheus reads them (text format 0.0.4)."""
    lines = [f"# HELP {_METRIC} Requests by what became of them.", f"# TYPE {_METRIC} counter"]
    for counts in read_counters(counters_dir):
        lines += [
            f'{_METRIC}{{worker="{counts.pid}.{counts.started_ns}",outcome="{outcome}"}} {getattr(counts, outcome)}'
            for outcome in ("received", "answered", "failed", "refused")
        ]
    return Response(200, ((b"content-type", b"text/plain; version=0.0.4"),), ("\n".join(lines) + "\n").encode())


def _documents(model: ServedModel) -> Mapping[str, Any]:
    name = model.service.model
    extensions = ["binary_tensor_data"]
    found: dict[str, Any] = {
        "/v2": {"name": "deploybench", "version": bench.__version__, "extensions": extensions},
        "/v1/models": {"models": [name]},  # as servers of KServe list them; the protocols leave it open
        "/v2/models": {"models": [name]},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
    }
    for path in {name, quote(name, safe="")}:
        for version in ("", f"/versions/{VERSION}"):
            found[f"/v2/models/{path}{version}"] = _kserve_metadata(model)
            found[f"/v2/models/{path}{version}/ready"] = {"name": name, "ready": True}
            found[f"/v1/models/{path}{version}"] = _TENSORFLOW_STATUS
            found[f"/v1/models/{path}{version}/metadata"] = _tensorflow_metadata(model)
    return found


def _kserve_metadata(model: ServedModel) -> Mapping[str, Any]:
    return {
        "name": model.service.model,
        "versions": [VERSION],
        "platform": model.service.adapter,
        "inputs": list(map(_kserve_tensor, model.inputs)),
        "outputs": list(map(_kserve_tensor, model.outputs)),
    }


def _kserve_tensor(spec: TensorSpec) -> Mapping[str, Any]:
    return {"name": spec.name, "datatype": KSERVE_NAMES.get(spec.dtype, spec.dtype), "shape": _sizes(spec)}


def _sizes(spec: TensorSpec) -> list[int]:
    """-1 where a dimension has a name, in both protocols."""
    return [-1 if isinstance(dimension, str) else dimension for dimension in spec.shape]


_TENSORFLOW_STATUS = {
    "model_version_status": [
        {"version": VERSION, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}


def _tensorflow_metadata(model: ServedModel) -> Mapping[str, Any]:
    signature = {
        "inputs": _tensorflow_tensors(model.inputs),
        "outputs": _tensorflow_tensors(model.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model.service.model, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"@type": _SIGNATURE_TYPE, "signature_def": {SIGNATURE: signature}}},
    }


def _tensorflow_tensors(specs: Sequence[TensorSpec]) -> Mapping[str, Any]:
    return {
        spec.name: {
            "dtype": _TENSORFLOW_NAMES.get(spec.dtype, "DT_INVALID"),
            "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in _sizes(spec)], "unknown_rank": False},
            "name": spec.native_name,
        }
        for spec in specs
    }
