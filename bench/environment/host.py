"""The processor and the kernel of this machine, read from /proc and /sys."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from .facts import Kernel, Pairs, Processor
from .kernel_files import ROOT, fields, id_list, read_number, read_text

_LAYOUT = {0: "fixed", 1: "partly randomized", 2: "randomized"}
_ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>, set by `setarch -R`


def processor(root: Path = ROOT) -> Processor:
    """Model, topology, caches and frequency policy; empty words where the kernel shows nothing."""
    cpus = root / "sys/devices/system/cpu"
    shown = read_text(root / "proc/cpuinfo")
    first = fields(shown)
    return Processor(
        model=first.get("model name") or f"{platform.machine()} {first.get('CPU part', '')}".strip(),
        microcode=first.get("microcode", ""),
        logical_cpus=sum(line.startswith("processor") for line in shown.splitlines()),
        threads_per_core=len(id_list(read_text(cpus / "cpu0/topology/thread_siblings_list"))) or 1,
        numa_nodes=len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or 1,
        caches=_caches(cpus / "cpu0/cache"),
        hypervisor="hypervisor" in first.get("flags", "").split(),
        governor=governor(root),
        turbo=turbo(root),
    )


def _caches(directory: Path) -> Pairs:
    found = []
    for index in directory.glob("index[0-9]*"):
        kind = {"Data": "d", "Instruction": "i"}.get(read_text(index / "type"), "")
        found.append((f"L{read_text(index / 'level')}{kind}", read_text(index / "size")))
    return tuple(sorted(found))


def governor(root: Path = ROOT) -> str:
    """The frequency governors in use, comma-separated; empty when the kernel shows none."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ",".join(sorted({read_text(file) for file in files} - {""}))


def turbo(root: Path = ROOT) -> str:
    """`on`, `off`, or empty when the kernel does not show it."""
    cpus = root / "sys/devices/system/cpu"
    no_turbo = read_number(cpus / "intel_pstate/no_turbo")
    boost = read_number(cpus / "cpufreq/boost") if no_turbo is None else 1 - no_turbo
    return "" if boost is None else ("on" if boost else "off")


def memory_total_bytes(root: Path = ROOT) -> int:
    """Memory of the machine that the kernel manages."""
    return int(fields(read_text(root / "proc/meminfo")).get("MemTotal", "0 kB").split()[0]) * 1024


def kernel(root: Path = ROOT) -> Kernel:
    """The kernel's release, and its settings that move latencies."""
    return Kernel(
        release=read_text(root / "proc/sys/kernel/osrelease"),
        clock_source=read_text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        transparent_huge_pages=huge_pages(root),
        address_space_layout=_address_space_layout(root),
    )


def huge_pages(root: Path = ROOT) -> str:
    """The mode of transparent huge pages in force: the kernel marks it with brackets."""
    chosen = re.search(r"\[(\w+)\]", read_text(root / "sys/kernel/mm/transparent_hugepage/enabled"))
    return chosen.group(1) if chosen else ""


def _address_space_layout(root: Path) -> str:
    personality = read_text(root / "proc/self/personality") or "0"
    if int(personality, 16) & _ADDR_NO_RANDOMIZE:
        return _LAYOUT[0]
    mode = read_number(root / "proc/sys/kernel/randomize_va_space")
    return "" if mode is None else _LAYOUT.get(mode, str(mode))


def control_group_paths(root: Path = ROOT) -> Pairs:
    """This process's group in each hierarchy, by the hierarchy's controllers."""
    lines = (line.split(":", 2) for line in read_text(root / "proc/self/cgroup").splitlines())
    return tuple(sorted((controllers or "unified", path) for _, controllers, path in lines))


def cpu_pressure_ratio(root: Path = ROOT) -> float | None:
    """Share of the last 10 s in which some task waited for a CPU; None where the kernel does not count it."""
    waited = re.search(r"some avg10=([\d.]+)", read_text(root / "proc/pressure/cpu"))
    return float(waited.group(1)) / 100 if waited else None


def temperatures_celsius(root: Path = ROOT) -> tuple[tuple[str, float], ...]:
    """The thermal zones that the kernel shows, by their type."""
    found = []
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        millidegrees = read_number(zone / "temp")
        if millidegrees is not None:
            found.append((read_text(zone / "type"), millidegrees / 1000))
    return tuple(sorted(found))
