"""One writer at a time: a lock that the kernel gives back however its owner ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.core.errors import StoreError
from bench.core.files import write_atomic

from .codec import decode_plain, encode
from .places import writing_to

_LOCK_NAME = ".lock"
_HOLDER_NAME = ".lock-holder.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Holder:
    name: str
    pid: int
    host: str
    since: str


@contextmanager
def exclusive_writer(directory: Path, name: str) -> Iterator[None]:
    """Be the only writer below `directory` inside the with statement; readers take no lock and never wait.

    Raises StoreError at once when another process holds it, and says which. The lock is not inherited by children,
    forked ones included, so it ends with its owner even when a child lives on. `name` is told to whoever is refused.
    """
    import filelock  # 40 ms, and planning and reporting do not need it

    lock = filelock.FileLock(directory / _LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StoreError(
            f"{directory}: {_describe_holder(directory)} holds the lock",
            hint="wait until it ends, or choose another results directory",
        ) from None
    except OSError as error:
        raise StoreError(
            f"{directory}: cannot be locked: {error.strerror}", hint="name a results directory that you may write"
        ) from error
    try:
        # Who holds it is for messages only and lies in a file of its own: what a dead owner left there is not a lock.
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = _Holder(name=name, pid=os.getpid(), host=socket.gethostname(), since=since)
        with writing_to(directory / _HOLDER_NAME, "cannot be written", "free space on this disk"):
            write_atomic(directory / _HOLDER_NAME, encode(holder, place=_HOLDER_NAME))
        yield
    finally:
        (directory / _HOLDER_NAME).unlink(missing_ok=True)
        lock.release()


def _describe_holder(directory: Path) -> str:
    path = directory / _HOLDER_NAME
    try:
        holder = decode_plain(path.read_bytes(), _Holder, place=str(path))
    except (OSError, StoreError):  # it has only just taken the lock, or is letting it go
        return "another run"
    return f"run {holder.name} (pid {holder.pid} on {holder.host}, since {holder.since})"
