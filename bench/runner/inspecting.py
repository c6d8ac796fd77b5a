"""Opens model files in children of their own to say what is in them: nothing is measured, a bad file costs one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bench.core.cell import Measurement, ModelRef
from bench.core.contracts import StepResult
from bench.core.errors import BenchError, MissingPackage, RefusedError, TargetError
from bench.core.job import InspectJob, Job, SourceJob
from bench.core.results import Outcome
from bench.inspect import Inspection
from bench.supervise import Answer

from .backstage import Backstage, backstage
from .crew import outcome_of
from .foreign_files import hint_for, parser_limits
from .watch import Watcher

_ERRORS: dict[str, type[BenchError]] = {error.culprit: error for error in (MissingPackage, RefusedError)}


def inspect(model: ModelRef, watcher: Watcher, *, events_dir: Path | None = None) -> Inspection:
    """What is in a model file, or in a zoo model in the format asked for; `events_dir` gets its graph for TensorBoard.

    TargetError says in one line why a file cannot be read, also when reading it ended the child that tried.
    """
    with backstage(Measurement(), watcher, purpose="inspect") as stage:
        job = InspectJob(location=model.location, format=model.format) if model.kind == "path" else _build(stage, model)
        if events_dir is not None:
            job = replace(job, events_dir=str(events_dir.absolute()))
        found = msgspec.convert(_ask(stage, job, model.location), Inspection)
    return replace(found, location=model.name)


def _build(stage: Backstage, model: ModelRef) -> InspectJob:
    """Make the zoo model's file, and hand over the signature that the zoo knows."""
    job = SourceJob(model=model, format=model.format, out_dir=str(stage.directory))
    body = _ask(stage, job, model.location)
    body.pop("duration_s")
    made = msgspec.convert(body, StepResult, dec_hook=lambda _, value: Path(str(value)))
    return InspectJob(location=str(made.path), format=made.format, inputs=made.inputs, outputs=made.outputs)


def _ask(stage: Backstage, job: Job, location: str) -> dict[str, Any]:
    crew = stage.crew
    limits = parser_limits(crew.width) if isinstance(job, InspectJob) else None
    child = crew.hire(job, job.kind, limits)
    try:
        reply = crew.ask(child, "make")
    finally:
        crew.dismiss([child])
    if isinstance(reply, Answer):
        return dict(reply.body)
    raise _error(outcome_of(reply), location)


def _error(outcome: Outcome, location: str) -> BenchError:
    """How the child ended, as an error of the file that it was given."""
    reason = outcome.reason if location in outcome.reason else f"{location}: {outcome.reason}"
    kind = _ERRORS.get(outcome.culprit, TargetError)
    return kind(reason, hint=outcome.hint or hint_for(outcome.status))
