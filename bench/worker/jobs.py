"""From a job file to the object that does the work, chosen by the job's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bench.core.job import InputsJob, Job, MeasureJob, MembersJob, SourceJob, StepJob

_TYPES: Mapping[str, type[Job]] = {
    "members": MembersJob,
    "source": SourceJob,
    "step": StepJob,
    "inputs": InputsJob,
    "measure": MeasureJob,
}

Answer = dict[str, Any]
Say = Callable[[str], None]


class Performer(Protocol):
    """What answers the verbs of one kind of job; `say` names the phase that begins."""

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Do what the verb says."""
        ...


def read_job(path: str) -> Job:
    """The job in a file."""
    content = msgspec.json.decode(Path(path).read_bytes())
    return msgspec.convert(content, _TYPES[content["kind"]])


def performer(job: Job) -> Performer:
    """The performer of a job; its module is imported now and not before."""
    if isinstance(job, MeasureJob):
        from .measuring import MeasurePerformer

        return MeasurePerformer(job)
    from .building import BuildPerformer

    return BuildPerformer(job)
