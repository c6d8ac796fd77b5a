"""From a job file to the object that does the work, chosen by the job's kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bench.core.job import (
    BehaviourJob,
    ExamplesJob,
    InputsJob,
    InspectJob,
    Job,
    MeasureJob,
    MembersJob,
    NumericsJob,
    ProfileJob,
    SourceJob,
    StepJob,
)

from .protocol import Performer

_TYPES: Mapping[str, type[Job]] = {
    "members": MembersJob,
    "source": SourceJob,
    "step": StepJob,
    "examples": ExamplesJob,
    "inputs": InputsJob,
    "inspect": InspectJob,
    "measure": MeasureJob,
    "behaviour": BehaviourJob,
    "profile": ProfileJob,
    "numerics": NumericsJob,
}


def read_job(path: str) -> Job:
    """The job in a file."""
    content = msgspec.json.decode(Path(path).read_bytes())
    return msgspec.convert(content, _TYPES[content["kind"]])


def performer(job: Job) -> Performer:
    """The performer of a job; its module is imported now and not before."""
    if isinstance(job, MeasureJob):
        from .measuring import MeasurePerformer

        return MeasurePerformer(job)
    if isinstance(job, InspectJob):
        from .inspecting import InspectPerformer

        return InspectPerformer(job)
    if isinstance(job, ProfileJob):
        from .profiling import ProfilePerformer

        return ProfilePerformer(job)
    if isinstance(job, NumericsJob):
        from .numerics import NumericsPerformer

        return NumericsPerformer(job)
    if isinstance(job, BehaviourJob):
        from .behaviour import BehaviourPerformer

        return BehaviourPerformer(job)
    from .building import BuildPerformer

    return BuildPerformer(job)
