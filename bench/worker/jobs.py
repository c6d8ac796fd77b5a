"""From a job file to the object that does the work, chosen by the job's kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.core.job import (
    BehaviourJob,
    ExamplesJob,
    InputsJob,
    InspectJob,
    Job,
    LoadJob,
    MeasureJob,
    MembersJob,
    NumericsJob,
    ProfileJob,
    SourceJob,
    StepJob,
)

from .protocol import Performer

_BUILDING = "building:BuildPerformer"
#: kind -> its job, and the module of this package with its performer.
_KINDS: Mapping[str, tuple[type[Job], str]] = {
    "members": (MembersJob, _BUILDING),
    "source": (SourceJob, _BUILDING),
    "step": (StepJob, _BUILDING),
    "examples": (ExamplesJob, _BUILDING),
    "inputs": (InputsJob, _BUILDING),
    "inspect": (InspectJob, "inspecting:InspectPerformer"),
    "measure": (MeasureJob, "measuring:MeasurePerformer"),
    "load": (LoadJob, "loading:LoadPerformer"),
    "behaviour": (BehaviourJob, "behaviour:BehaviourPerformer"),
    "profile": (ProfileJob, "profiling:ProfilePerformer"),
    "numerics": (NumericsJob, "numerics:NumericsPerformer"),
}


def read_job(path: str) -> Job:
    """The job in a file."""
    content = msgspec.json.decode(Path(path).read_bytes())
    return msgspec.convert(content, _KINDS[content["kind"]][0])


def performer(job: Job) -> Performer:
    """The performer of a job; its module is imported now and not before."""
    module, _, name = _KINDS[job.kind][1].partition(":")
    made: Performer = getattr(importlib.import_module(f".{module}", __package__), name)(job)
    return made
