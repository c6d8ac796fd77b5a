"""A child that opens one model file to say what is in it: every parser is foreign code, and some files are hostile."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.core.errors import BenchError, TargetError
from bench.core.files import tree_size_bytes
from bench.core.job import InspectJob
from bench.formats.detect import split_callable

from .protocol import Answer, Say

#: Their files hold tensors or machine code and no names of inputs; a zoo model knows them.
_WITHOUT_SIGNATURE = frozenset({"torch_module", "tensorrt_engine"})
#: Their files need not say what the model takes; a damaged one is found when it is read.
_MAY_LACK_SIGNATURE = frozenset({"torchscript", "aot_inductor"})


class InspectPerformer:
    """Answers the verb `make` with a `bench.inspect.Inspection`."""

    def __init__(self, job: InspectJob) -> None:
        self._job = job

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Read the signature, then the file, then draw its graph where that was asked for."""
        from bench import inspect
        from bench.adapters.boundary import as_target_error

        if verb != "make":
            raise ValueError(f"an {self._job.kind} job does not know the verb {verb!r}")
        job = self._job
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a driver maps more address space than the child's limit allows
        say("signature")
        inputs, outputs, notes = _signature(job)
        path = Path(job.location)
        subject = inspect.Subject(path=path, inputs=inputs, outputs=outputs, load=_loader(job))
        say("inspect")
        with as_target_error(
            f"{job.location}: not a readable {job.format} model", hint="check that the file is complete"
        ):
            structure = inspect.read(job.format, subject)
        if job.events_dir:
            say("draw")
            with as_target_error(f"{job.location}: its graph cannot be drawn"):
                _write_events(inspect.graph_bytes(job.format, subject), Path(job.events_dir))
        found = inspect.Inspection(
            location=job.location,
            format=job.format,
            size_bytes=_size_bytes(job.location),
            inputs=inputs,
            outputs=outputs,
            structure=structure,
            notes=notes,
        )
        answer: Answer = msgspec.to_builtins(found)
        return answer


def _signature(job: InspectJob) -> tuple[Any, Any, tuple[str, ...]]:
    """What is known already, or what the file says; a format whose files do not say it is read without."""
    from bench.adapters import inspect

    if job.inputs:
        return job.inputs, job.outputs, ()
    if job.format in _WITHOUT_SIGNATURE:
        return (), (), (f"the signature of a {job.format} model is not in its file",)
    try:
        inputs, outputs = inspect.signature(job.format, job.location)
    except TargetError as error:
        if job.format not in _MAY_LACK_SIGNATURE:
            raise
        return (), (), (error.message,)
    return inputs, outputs, ()


def _loader(job: InspectJob) -> Callable[[], Any]:
    """The adapters' own way to open the file, where they have one."""

    def load() -> Any:
        if job.format == "keras":
            from bench.formats.keras_file import load_keras

            os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported; elsewhere a file at home decides
            return load_keras(Path(job.location))
        if job.format == "frozen_graph":
            from bench.formats.frozen_graph import read_graph

            return read_graph(Path(job.location))
        if job.format == "torch_module":
            from bench.formats.torch_module import load_torch_module

            return load_torch_module(Path(job.location))
        if job.format == "exported_program":
            from bench.formats.exported_program import load_exported

            return load_exported(Path(job.location))
        if job.format == "python_callable":
            from bench.adapters.torch import load_callable

            return load_callable(job.location)()
        raise TargetError(f"{job.location}: there is no loader for {job.format}")

    return load


def _write_events(graph: bytes, directory: Path) -> None:
    from bench.inspect.drawing import write_events

    try:
        write_events(graph, directory)
    except BenchError:
        raise
    except OSError as error:
        raise TargetError(
            f"{directory}: cannot be written: {error.strerror}", hint="name another directory: --tensorboard DIR"
        ) from error


def _size_bytes(location: str) -> int:
    """The file with the weights that formats keep beside it."""
    callable_parts = split_callable(location)
    path = callable_parts[0] if callable_parts else Path(location)
    beside: list[Path] = []
    if path.suffix == ".onnx":
        from bench.adapters.inspect import external_members

        beside = [path.parent / member for member in external_members(path)]
    if path.suffix == ".xml":
        beside = [path.with_suffix(".bin")]
    return tree_size_bytes(path) + sum(tree_size_bytes(file) for file in beside if file.is_file())
