"""What whole process trees have used so far: processor time and memory, read from /proc by whoever started them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .memory import proportional_bytes
from .processes import stat_fields, tree

_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
#: utime, stime, and those of children that were waited for; counted from the state that follows the name, see proc(5).
_TIMES = slice(11, 15)


def cpu_ns(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Processor time of the processes and all their descendants, those that ended and were waited for included.

    It counts in ticks of 10 ms on most kernels.
    """
    return sum(sum(map(int, stat_fields(pid, proc)[_TIMES])) * _TICK_NS for pid in _members(pids, proc))


def memory_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Proportional set size of the processes and all their descendants: shared pages are counted once."""
    return sum(proportional_bytes(pid, proc) for pid in _members(pids, proc))


def count(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """How many processes these are, with their descendants."""
    return len(_members(pids, proc))


def _members(pids: Iterable[int], proc: Path) -> set[int]:
    return {member for pid in pids for member in tree(pid, proc)}
