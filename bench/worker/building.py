"""Children that make things: a source artifact, a step's artifact, the pools of inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.core import plugins
from bench.core.contracts import StepResult
from bench.core.job import InputsJob, MembersJob, SourceJob, StepJob

from .protocol import Answer, Say
from .zoo_models import zoo_model

if TYPE_CHECKING:
    from bench.core.contracts import Batch, LabelledSet


class BuildPerformer:
    """Answers the single verb `make` for members, source, step and inputs jobs."""

    def __init__(self, job: MembersJob | SourceJob | StepJob | InputsJob) -> None:
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
        if isinstance(self._job, MembersJob):
            return _list_members(self._job)
        if isinstance(self._job, SourceJob):
            return _plain(_make_source(self._job))
        if isinstance(self._job, StepJob):
            return _plain(_apply_step(self._job))
        return _make_inputs(self._job)


def _plain(result: StepResult) -> Answer:
    answer: Answer = msgspec.to_builtins(result, enc_hook=str)
    return answer


def _list_members(job: MembersJob) -> Answer:
    from bench.adapters.inspect import external_members

    return {"members": list(external_members(job.path))}


def _make_source(job: SourceJob) -> StepResult:
    if job.model.kind == "path":
        from bench.adapters.inspect import signature

        inputs, outputs = signature(job.format, job.model.location)
        return StepResult(format=job.format, path=Path(job.model.location), inputs=inputs, outputs=outputs)
    result: StepResult = zoo_model(job.model).build(job.format, Path(job.out_dir))
    return result


def _apply_step(job: StepJob) -> StepResult:
    step = plugins.load("steps", job.step.name)
    options = step.Options(**dict(job.step.options))
    calibration = _calibration(job.calibration_path)
    result: StepResult = step.apply(job.source, options, Path(job.out_dir), calibration)
    return result


def _make_inputs(job: InputsJob) -> Answer:
    from bench.zoo.inputs import pool_digest, write_pool

    batches, labelled = _gather_inputs(job)
    write_pool(Path(job.pool_path), batches)
    if labelled is not None and job.labelled_path:
        _write_labelled(Path(job.labelled_path), labelled)
    return {
        "sha256": pool_digest(batches),
        "batches": len(batches),
        "labels": 0 if labelled is None else len(labelled.labels),
        "metric": "" if labelled is None else labelled.metric,
    }


def _gather_inputs(job: InputsJob) -> tuple[Sequence[Batch], LabelledSet | None]:
    """The user's own samples first, then the zoo model's real ones, then valid made-up ones for any signature."""
    model = job.model
    if model.inputs_path:
        from bench.zoo.user_inputs import user_inputs

        return user_inputs(
            Path(model.inputs_path),
            job.inputs,
            count=job.count,
            batch=job.batch,
            dimensions=job.dimensions,
            seed=job.seed,
        )
    if model.kind != "path":
        offered = zoo_model(model)
        batches = offered.sample_inputs(count=job.count, batch=job.batch, dimensions=job.dimensions, seed=job.seed)
        return batches, offered.labelled()
    from bench.adapters.inspect import vocabulary
    from bench.zoo.inputs import synthetic_inputs

    rows = vocabulary(model.format, model.location)
    batches = synthetic_inputs(
        job.inputs,
        count=job.count,
        batch=job.batch,
        dimensions=job.dimensions,
        seed=job.seed,
        vocabulary=min(rows.values(), default=None),
    )
    return batches, None


def _write_labelled(path: Path, labelled: LabelledSet) -> None:
    import numpy as np

    arrays: dict[str, Any] = {f"inputs/{name}": values for name, values in labelled.inputs.items()}
    np.savez(path, labels=labelled.labels, **arrays)


def _calibration(path: str) -> Sequence[Batch]:
    if not path:
        return ()
    from bench.zoo.inputs import read_pool

    return read_pool(Path(path))
