"""The smallest models that show what a profiler promises, and the look at one of them in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.core import plugins
from bench.core.cell import Cell, ModelRef, Variant
from bench.core.contracts import Session
from bench.core.profiling import Subject
from tests.conformance.adapter_cases import CASES, Case, batch_of

RUNS = 4


@dataclass(frozen=True, kw_only=True)
class ProfilerCase:
    """A profiler on one of the adapters' cases: `operators` are kinds that it must find, each in every call,
    `absent` those that it must leave out, for what is inside them is listed."""

    profiler: str
    model: str
    operators: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    functions: bool = False
    lines: bool = False


#: Name of the test -> case.
PROFILER_CASES: Mapping[str, ProfilerCase] = {
    "cprofile": ProfilerCase(profiler="cprofile", model="null", functions=True),
    "line_profiler": ProfilerCase(profiler="line_profiler", model="null", lines=True),
    "line_profiler_callable": ProfilerCase(profiler="line_profiler", model="python_callable", lines=True),
    "litert": ProfilerCase(profiler="litert", model="tflite", operators=("Fully Connected",)),
    "onnxruntime": ProfilerCase(profiler="onnxruntime", model="onnx", operators=("ReduceSum", "Sub")),
    "onnxruntime_loop": ProfilerCase(
        profiler="onnxruntime", model="onnx_loop", operators=("Gemm", "ReduceSum"), absent=("Loop",)
    ),
    "openvino": ProfilerCase(profiler="openvino", model="openvino_ir", operators=("FullyConnected",)),
    "tensorflow": ProfilerCase(profiler="tensorflow", model="frozen_graph", operators=("Sub", "Sum")),
    "tensorflow_xla": ProfilerCase(profiler="tensorflow", model="saved_model_xla", operators=("*",)),
    "torch": ProfilerCase(profiler="torch", model="exported_program", operators=("relu", "sum")),
    "torch_compiled": ProfilerCase(profiler="torch", model="torch_module_compiled", operators=("cpp_*",)),
    "torchscript": ProfilerCase(profiler="torch", model="torchscript", operators=("sum",)),
    "torch_keras": ProfilerCase(profiler="torch", model="keras_torch", operators=("relu", "sum")),
    "torch_aot_inductor": ProfilerCase(profiler="torch", model="aot_inductor", operators=("*",)),
}


def look(*, directory: Path, profiler: str, model: str, path: str) -> dict[str, Any]:
    """What the profiler found in the model at `path`, and the files it left, all as JSON values."""
    case = CASES[model]
    case.prepare()
    out_dir = directory / "out"
    out_dir.mkdir(exist_ok=True)
    subject = Subject(
        cell=Cell(
            model=ModelRef(name=model, kind="path", location=path, format=case.format),
            variant=Variant(name="v", source=case.format, adapter=case.adapter),
        ),
        artifact=case.artifact(path),
        batch=batch_of(4),
        runs=RUNS,
        out_dir=out_dir,
        adapter_module=plugins.lookup("adapters", case.adapter).target.partition(":")[0],
        open=partial(_open, case, path),
    )
    found = msgspec.to_builtins(plugins.load("profilers", profiler).profile(subject))
    return {"profile": found, "pid": os.getpid(), "files": sorted(path.name for path in out_dir.iterdir())}


def _open(case: Case, path: str) -> Session:
    adapter = plugins.load("adapters", case.adapter)
    session: Session = adapter.open(case.artifact(path), threads=1, options=adapter.Options(**case.options))
    return session
