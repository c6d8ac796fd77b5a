"""What each server process has done so far, in a small file that outlives it: counts survive a SIGKILL.

One file per process, named by its process id and start; a process that was started again is another file.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_LAYOUT = struct.Struct("<6q")
_FIELDS = ("pid", "started_ns", "received", "answered", "failed", "refused")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerCounts:
    """One server process: requests whose body it received, answered with outputs, failed at, or refused when full."""

    pid: int
    started_ns: int
    received: int
    answered: int
    failed: int
    refused: int


class Counters:
    """The counters of this process; plain attributes in memory that every process of the machine can read."""

    def __init__(self, directory: Path) -> None:
        started_ns = time.perf_counter_ns()
        path = directory / f"{os.getpid()}.{started_ns}"
        with open(path, "w+b") as stream:
            stream.write(_LAYOUT.pack(os.getpid(), started_ns, 0, 0, 0, 0))
            stream.flush()
            self._memory = mmap.mmap(stream.fileno(), _LAYOUT.size)
        self._values = memoryview(self._memory).cast("q")

    def add(self, what: str) -> None:
        """Count one; `what` is received, answered, failed or refused."""
        self._values[_FIELDS.index(what)] += 1


def read_counters(directory: Path) -> tuple[WorkerCounts, ...]:
    """The counts of every process that ever served from `directory`, oldest first."""
    found = [
        WorkerCounts(**dict(zip(_FIELDS, _LAYOUT.unpack(path.read_bytes()[: _LAYOUT.size]), strict=True)))
        for path in directory.iterdir()
    ]
    return tuple(sorted(found, key=lambda counts: counts.started_ns))
