"""Which children are alive, written down so that a later run can end what a killed one left.

Never by process id alone, since ids are used again: a leftover carries the random mark of its child in its
environment and is younger than the journal's line about it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from bench.monitor.processes import all_pids, start_ticks, stat_fields

from .spawn import NONCE_VARIABLE

_KILL_TRIES = 200
_KILL_PAUSE_S = 0.01


class AliveJournal:
    """`alive.jsonl` of a run directory: a line before each start, one after each end; gone when all have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._alive: set[str] = set()

    def starts(self, nonce: str, name: str) -> None:
        """Write down that a child is about to be started."""
        self._alive.add(nonce)
        self._append({"start": nonce, "name": name, "boot_id": _boot_id(), "since_ticks": _now_ticks()})

    def ended(self, nonce: str) -> None:
        """Write down that a child and its whole tree are gone."""
        self._alive.discard(nonce)
        self._append({"end": nonce})

    def close(self) -> None:
        """Remove the file when nothing it names is alive."""
        if not self._alive:
            self._path.unlink(missing_ok=True)

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def sweep(path: Path) -> tuple[str, ...]:
    """End what a killed run left alive, and forget it; returns the names of the children that something was left of."""
    if not path.exists():
        return ()
    entries = [entry for line in path.read_bytes().splitlines() if (entry := _entry(line))]
    ended = {entry["end"] for entry in entries if "end" in entry}
    swept = [
        str(entry.get("name", "?"))
        for entry in entries
        if entry.get("start") and entry["start"] not in ended and entry.get("boot_id") == _boot_id()
        if kill_marked(str(entry["start"]), since_ticks=int(entry.get("since_ticks", 0)))
    ]
    path.unlink()
    return tuple(swept)


def kill_marked(nonce: str, *, since_ticks: int = 0) -> list[int]:
    """SIGKILL every process that carries `nonce`, until there is none; returns the ids that were killed."""
    mark = f"{NONCE_VARIABLE}={nonce}".encode()
    killed: list[int] = []
    for _ in range(_KILL_TRIES):
        found = [pid for pid in all_pids() if _is_marked(pid, mark, since_ticks)]
        if not found:
            break
        killed += [pid for pid in found if _kill_if_marked(pid, mark, since_ticks)]
        time.sleep(_KILL_PAUSE_S)
    return killed


def reap(pids: Collection[int], session: int) -> None:
    """Reap our zombie children among `pids` or of `session`: orphans that a killed launcher bequeathed to us."""
    own = str(os.getpid())
    for pid in all_pids():
        fields = stat_fields(pid)
        if len(fields) < 4 or fields[0] != "Z" or fields[1] != own:
            continue
        if pid in pids or int(fields[3]) == session:
            os.waitpid(pid, os.WNOHANG)


def _kill_if_marked(pid: int, mark: bytes, since_ticks: int) -> bool:
    """Judge again behind a pidfd: from there on the number cannot pass to another process unnoticed."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not _is_marked(pid, mark, since_ticks):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_marked(pid: int, mark: bytes, since_ticks: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return False
    return mark in environment.split(b"\0") and (start_ticks(pid) or 0) >= since_ticks


def _entry(line: bytes) -> dict[str, Any] | None:
    """One journal line; a torn last line is of a child that was not started yet."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _now_ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
