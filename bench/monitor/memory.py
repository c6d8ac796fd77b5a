"""Peak memory of a process tree in proportional set size: shared pages are counted once, not once per process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.core.errors import HostError

from .processes import tree


@dataclass(frozen=True, kw_only=True, slots=True)
class PeakMemory:
    """`source` says what the number is: "pss", or "VmHWM" when the kernel did not let the proportional size be read.

    pss: proportional set size now, plus how far each process's resident set is below its own peak. It is exact for
    one process whose given-back memory was private, and an upper bound for a tree whose processes peaked at
    different times. VmHWM: sum of the peak resident sets, which counts shared pages once per process.
    """

    bytes: int
    source: Literal["pss", "VmHWM"]


def peak_memory(pid: int, *, proc: Path = Path("/proc")) -> PeakMemory:
    """Peak memory of `pid` and its descendants that live now; HostError when `pid` is gone."""
    total_bytes = 0
    source: Literal["pss", "VmHWM"] = "pss"
    for member in tree(pid, proc):
        status = _kib_fields(proc / str(member) / "status")
        peak_bytes = status.get("VmHWM", 0)
        if member == pid and not peak_bytes:
            raise HostError(f"the memory of process {pid} cannot be read: it has ended")
        pss_bytes = proportional_bytes(member, proc)
        if not pss_bytes and peak_bytes:
            source = "VmHWM"
            total_bytes += peak_bytes
        else:
            total_bytes += pss_bytes + max(0, peak_bytes - status.get("VmRSS", 0))
    return PeakMemory(bytes=total_bytes, source=source)


def peak_memory_bytes(pid: int, *, proc: Path = Path("/proc")) -> int:
    """The number of `peak_memory` alone."""
    return peak_memory(pid, proc=proc).bytes


def proportional_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """Proportional set size of one process now; 0 where the kernel does not tell, or it has ended."""
    return _kib_fields(proc / str(pid) / "smaps_rollup").get("Pss", 0)


def _kib_fields(path: Path) -> dict[str, int]:
    """`Name:   123 kB` lines as bytes; empty when the file cannot be read."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    values = (line.split() for line in lines)
    return {parts[0].rstrip(":"): int(parts[1]) * 1024 for parts in values if len(parts) == 3 and parts[2] == "kB"}
