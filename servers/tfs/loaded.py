"""A version that can be called: its model, what it offers, and how calls reach it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.artifact import Options, TensorSpec
from bench.core.errors import TargetError
from bench.wire.protobuf.tensors import TEXT
from servers.model import ServedModel

from .batching import Batches, Runner, Turns
from .signatures import Signatures
from .sources import read_source
from .text_files import BatchingParameters

if TYPE_CHECKING:
    from bench.core.contracts import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A model that was opened and called once."""

    name: str
    version: int
    model: ServedModel
    signatures: Signatures
    runner: Runner

    def close(self) -> None:
        """Give the model back; no call is under way."""
        self.runner.close()
        self.model.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadOptions:
    """How versions are opened. `threads` and `adapter_options` are for SavedModels, other sources bring their own."""

    nonce: str
    max_waiting: int
    threads: int
    adapter_options: Options
    batching: BatchingParameters | None
    warm_up_calls: int
    observe_batch: Callable[[str, int], None]
    say: Callable[[str], None]


def load(name: str, version: int, directory: Path, options: LoadOptions) -> Loaded:
    """Open the version in `directory` and warm it up; TargetError or another BenchError says why it cannot be."""
    source = read_source(name, directory, threads=options.threads, adapter_options=options.adapter_options)
    model = ServedModel(source.service, options.nonce)
    _warm_up(model, options)
    runner: Runner
    if options.batching is None:
        runner = Turns(model.run, options.max_waiting)
    else:
        runner = Batches(model.run, options.batching, lambda size: options.observe_batch(name, size))
    return Loaded(name=name, version=version, model=model, signatures=source.signatures, runner=runner)


def _warm_up(model: ServedModel, options: LoadOptions) -> None:
    """Calls before the first one that counts; a model that refuses zeros is served cold, and that is said."""
    zeros = {spec.name: _zeros(spec) for spec in model.inputs}
    try:
        for _ in range(options.warm_up_calls):
            model.run(zeros)
    except TargetError as error:
        options.say(f"{model.service.model} could not be warmed up with zeros: {error.message}")


def _zeros(spec: TensorSpec) -> Array:
    """One sample, and one of everything else whose size is not fixed: valid as ids too."""
    shape = [1 if isinstance(dim, str) else dim for dim in spec.shape]
    return np.full(shape, "", object) if spec.dtype == TEXT else np.zeros(shape, spec.dtype)


def available_cpus() -> int:
    """CPUs that this process may use: what a parallelism of 0 stands for."""
    return len(os.sched_getaffinity(0))
