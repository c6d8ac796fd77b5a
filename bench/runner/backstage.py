"""A crew and a workshop in a directory that vanishes afterwards: for all that prepares or looks, and times nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.artifacts import Store, default_root
from bench.core.cell import Measurement
from bench.environment import effective_cpus
from bench.supervise import Supervisor

from .crew import Crew
from .watch import Watcher
from .workshop import Workshop

_SUBDIRECTORIES = ("jobs", "logs", "inputs", "outputs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backstage:
    """Who makes models and inputs, who asks children, and where both may write."""

    crew: Crew
    workshop: Workshop
    directory: Path


@contextmanager
def backstage(
    measurement: Measurement, watcher: Watcher, *, store_root: Path | None = None, purpose: str
) -> Iterator[Backstage]:
    """Open both; every child has ended and the directory is gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix=f"deploybench-{purpose}-") as name:
        directory = Path(name)
        for subdirectory in _SUBDIRECTORIES:
            (directory / subdirectory).mkdir()
        with Supervisor(directory) as supervisor:
            crew = Crew(
                supervisor,
                directory,
                width=effective_cpus(),
                deadline_s=measurement.phase_deadline_s,
                seed=measurement.seed,
            )
            workshop = Workshop(
                crew,
                Store(store_root or default_root()),
                directory,
                watcher,
                input_pool=measurement.input_pool,
                seed=measurement.seed,
            )
            yield Backstage(crew=crew, workshop=workshop, directory=directory)
