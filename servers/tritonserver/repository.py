"""A model repository for Triton: one model, whose configuration says its tensors, instances and batches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from bench.core.serving import Service

_LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
#: numpy's name -> model_config.proto's DataType.
_TYPES: Mapping[str, str] = {
    "bool": "TYPE_BOOL",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "int8": "TYPE_INT8",
    "str": "TYPE_STRING",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "uint8": "TYPE_UINT8",
}


#: Triton's Python process reads no PYTHONPATH. What it imports after this file, its own helpers too, must find numpy 1
#: and not another one that this machine's Python may have: with that, tensors come out empty.
_MODEL = """\
import sys

sys.path.insert(0, {packages!r})

from served_model import TritonPythonModel
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """How Triton serves the model; with `max_batch` 1 it collects nothing, and requests may have any batch."""

    name: str
    max_batch: int
    batch_delay_ms: float
    instances: int


def write_repository(directory: Path, service: Service, serving: Serving, packages: Path) -> None:
    """Write the model below `directory`, to be run with `packages`; TargetError when it cannot be served as asked."""
    version = directory / serving.name / "1"
    version.mkdir(parents=True)
    artifact = service.artifact
    options = dict(service.adapter_options)
    shutil.copyfile(Path(__file__).with_name("served_model.py"), version / "served_model.py")
    (version / "model.py").write_text(_MODEL.format(packages=str(packages)), encoding="utf-8")
    told = {
        "path": str(Path(artifact.path).resolve()),
        "threads": service.threads,
        "graph_optimization": _LEVELS[str(options.get("graph_optimization", "all"))],
        "inputs": {spec.name: spec.native_name for spec in artifact.inputs},
        "outputs": {spec.name: spec.native_name for spec in artifact.outputs},
        "has_batches": serving.max_batch > 1,
    }
    (version / "model.json").write_text(json.dumps(told), encoding="utf-8")
    configuration = _configuration(artifact.inputs, artifact.outputs, serving)
    (version.parent / "config.pbtxt").write_text(configuration, encoding="utf-8")


def _configuration(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], serving: Serving) -> str:
    """In the text format of model_config.proto, of which JSON's strings and lists are a part."""
    batched = serving.max_batch > 1
    lines = [
        f"name: {json.dumps(serving.name)}",
        'backend: "python"',
        f"max_batch_size: {serving.max_batch if batched else 0}",
        f"instance_group [ {{ kind: KIND_CPU count: {serving.instances} }} ]",
    ]
    lines += [f"input [ {_tensor(spec, batched=batched)} ]" for spec in inputs]
    lines += [f"output [ {_tensor(spec, batched=batched)} ]" for spec in outputs]
    if batched:
        delay_us = round(serving.batch_delay_ms * 1e3)
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}")
    return "\n".join(lines) + "\n"


def _tensor(spec: TensorSpec, *, batched: bool) -> str:
    if spec.dtype not in _TYPES:
        raise TargetError(
            f"Triton's Python backend cannot pass {spec.name!r}: it is {spec.dtype}", hint="serve it another way"
        )
    shape = spec.shape
    if batched:
        if not shape or shape[0] != "batch":
            raise TargetError(
                f"Triton cannot collect requests: the first dimension of {spec.name!r} is no batch of any size",
                hint="max_batch: 1",
            )
        shape = shape[1:]
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return f"{{ name: {json.dumps(spec.name)} data_type: {_TYPES[spec.dtype]} dims: {json.dumps(sizes)} }}"
