"""The child that looks inside a cell: one profiler, a fresh process, the artifact opened as the timed pass opens it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bench.adapters.boundary import as_target_error
from bench.core import plugins
from bench.core.contracts import Session
from bench.core.job import ProfileJob
from bench.core.profiling import Profile, Subject

from .protocol import Answer, Say


class ProfilePerformer:
    """Answers the single verb `profile`."""

    def __init__(self, job: ProfileJob) -> None:
        self._job = job

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Look, and leave what was found as JSON in `<out_dir>/<profiler>.profile.json`."""
        if verb != "profile":
            raise ValueError(f"a profile job does not know the verb {verb!r}")
        job = self._job
        started = time.perf_counter()
        with as_target_error(f"{job.profiler} of {job.cell.id}"):
            profiler = plugins.load("profilers", job.profiler)
            say("profile")
            found: Profile = profiler.profile(_subject(job))
        path = Path(job.out_dir) / f"{job.profiler}.profile.json"
        path.write_bytes(msgspec.json.encode(found))
        return {"path": str(path), "pid": os.getpid(), "duration_s": time.perf_counter() - started}


def _subject(job: ProfileJob) -> Subject:
    from bench.zoo.inputs import read_pool

    variant = job.cell.variant
    spec = plugins.lookup("adapters", variant.adapter)

    def open_session() -> Session:
        adapter = plugins.load("adapters", variant.adapter)
        options = adapter.Options(**dict(variant.adapter_options))
        session: Session = adapter.open(job.artifact, threads=job.cell.limits.threads, options=options)
        return session

    return Subject(
        cell=job.cell,
        artifact=job.artifact,
        batch=read_pool(Path(job.pool_path))[0],
        runs=job.runs,
        out_dir=Path(job.out_dir),
        adapter_module=spec.target.partition(":")[0],
        open=open_session,
    )
