"""Children that make things: a source artifact, a step's artifact, the pools of inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.core import plugins
from bench.core.contracts import StepResult
from bench.core.job import InputsJob, SourceJob, StepJob

from .jobs import Answer, Say

if TYPE_CHECKING:
    from bench.core.contracts import Batch


class BuildPerformer:
    """Answers the single verb `make` for source, step and inputs jobs."""

    def __init__(self, job: SourceJob | StepJob | InputsJob) -> None:
        self._job = job

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Make what the job describes; the answer is a StepResult, or what is known of the pools."""
        if verb != "make":
            raise ValueError(f"a {self._job.kind} job does not know the verb {verb!r}")
        say(self._job.kind)
        started = time.perf_counter()
        answer = self._make()
        return {**answer, "duration_s": time.perf_counter() - started}

    def _make(self) -> Answer:
        if isinstance(self._job, SourceJob):
            return _plain(_make_source(self._job))
        if isinstance(self._job, StepJob):
            return _plain(_apply_step(self._job))
        return _make_inputs(self._job)


def _plain(result: StepResult) -> Answer:
    answer: Answer = msgspec.to_builtins(result, enc_hook=str)
    return answer


def _make_source(job: SourceJob) -> StepResult:
    if job.model.kind == "path":
        from bench.adapters.inspect import signature

        inputs, outputs = signature(job.format, Path(job.model.location))
        return StepResult(format=job.format, path=Path(job.model.location), inputs=inputs, outputs=outputs)
    model = _zoo_model(job.model)
    result: StepResult = model.build(job.format, Path(job.out_dir))
    return result


def _apply_step(job: StepJob) -> StepResult:
    step = plugins.load("steps", job.step.name)
    options = step.Options(**dict(job.step.options))
    calibration = _calibration(job.calibration_path)
    result: StepResult = step.apply(job.source, options, Path(job.out_dir), calibration)
    return result


def _calibration(path: str) -> Sequence[Batch]:
    if not path:
        return ()
    from bench.zoo.inputs import read_pool

    return read_pool(Path(path))
