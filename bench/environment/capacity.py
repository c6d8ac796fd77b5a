"""How many CPUs and how much memory this process can really have: the least of machine, affinity and control groups."""

from __future__ import annotations

import math
from pathlib import Path

from .kernel_files import ROOT, control_group, fields, id_list, read_number, read_text

_UNLIMITED_BYTES = 1 << 60  # v1 says "no limit" as the largest multiple of the page size in 63 bits


def affinity(root: Path = ROOT) -> tuple[int, ...]:
    """The CPUs that the scheduler may put this process on."""
    return id_list(fields(read_text(root / "proc/self/status")).get("Cpus_allowed_list", ""))


def cpu_quota_cores(root: Path = ROOT) -> float | None:
    """CPU time per wall time that the control groups grant, the least of our group and those above; None: unlimited."""
    group = control_group("cpu", root)
    quotas = []
    for directory in group.directories if group else ():
        if group is not None and group.version == 2:
            quota, _, period = read_text(directory / "cpu.max").partition(" ")
        else:
            quota = read_text(directory / "cpu.cfs_quota_us")
            period = read_text(directory / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():  # not "max", not "-1"
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def cpuset(root: Path = ROOT) -> str:
    """The CPUs that the control group allows, in the kernel's list format; empty when it does not say."""
    group = control_group("cpuset", root)
    if group is None:
        return ""
    name = "cpuset.cpus.effective" if group.version == 2 else "cpuset.effective_cpus"
    return read_text(group.directories[0] / name)


def effective_cpus(root: Path = ROOT) -> int:
    """CPUs that this process can keep busy: the least of affinity and quota rounded up; at least 1."""
    quota = cpu_quota_cores(root)
    allowed = len(affinity(root))
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """The least memory limit of our control group and those above; None: unlimited."""
    return min((limit for limit, _ in _memory_limits(root)), default=None)


def available_memory_bytes(root: Path = ROOT) -> int:
    """Memory that can be had without swapping: MemAvailable, or less where the limit of a control group is near.

    Page cache counts as free, in a group as on the machine.
    """
    shown = fields(read_text(root / "proc/meminfo")).get("MemAvailable", "0 kB")
    available = int(shown.split()[0]) * 1024
    return max(0, min([available, *(limit - used for limit, used in _memory_limits(root))]))


def _memory_limits(root: Path) -> list[tuple[int, int]]:
    """Limit and bytes in use that cannot be dropped, of each limited group from ours upwards."""
    group = control_group("memory", root)
    if group is None:
        return []
    limit_name, usage_name, cache_name = (
        ("memory.max", "memory.current", "inactive_file")
        if group.version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    found = []
    for directory in group.directories:
        limit = read_number(directory / limit_name)
        if limit is not None and limit < _UNLIMITED_BYTES:
            cache = int(fields(read_text(directory / "memory.stat"), " ").get(cache_name, "0"))
            found.append((limit, (read_number(directory / usage_name) or 0) - cache))
    return found
