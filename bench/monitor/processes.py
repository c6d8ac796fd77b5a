"""Who descends from whom, read from /proc."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_START_FIELD = 19  # starttime, counted from the state that follows the name; see proc(5)


def stat_fields(pid: int, proc: Path = _PROC) -> list[str]:
    """Fields of /proc/PID/stat after the name: state, parent, ...; empty when the process is gone."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()  # the name may hold blanks and brackets


def start_ticks(pid: int, proc: Path = _PROC) -> int | None:
    """When the process started, in clock ticks since boot; None when it is gone."""
    fields = stat_fields(pid, proc)
    return int(fields[_START_FIELD]) if len(fields) > _START_FIELD else None


def all_pids(proc: Path = _PROC) -> list[int]:
    """Every process that can be seen."""
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


def tree(pid: int, proc: Path = _PROC) -> list[int]:
    """`pid` and its living descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for candidate in all_pids(proc):
        fields = stat_fields(candidate, proc)
        if len(fields) > 1:
            children.setdefault(int(fields[1]), []).append(candidate)
    found = [pid]
    for member in found:  # grows while it is walked
        found += children.get(member, [])
    return found
