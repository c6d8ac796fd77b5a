"""What on this host spoils numbers. Nothing here is changed by us: each hint says what its owner could do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from bench.core.units import format_bytes

from . import host
from .capacity import available_memory_bytes, effective_cpus
from .finding import Finding
from .gpu import gpus
from .kernel_files import ROOT, fields, read_text

_STEAL_WARNING_RATIO = 0.005
_PRESSURE_WARNING_RATIO = 0.05
_MEMORY_WARNING_BYTES = 2 * 2**30  # one TensorFlow worker with a small model
_LOAD_WARNING_PER_CPU = 0.25
_GOOD_CLOCK_SOURCES = {"tsc", "arch_sys_counter"}
_TIMER_READINGS = 10_000
_TIMER_WARNING_NS = 500


def host_findings(root: Path = ROOT) -> Iterator[Finding]:
    """One finding per property of the host that moves or blurs latencies."""
    yield _cpus(root)
    yield _virtual_machine(root)
    yield from _frequency(root)
    yield _huge_pages(root)
    yield _steal(root)
    yield _load(root)
    yield _pressure(root)
    yield _memory(root)
    yield _swap(root)
    yield _clock_source(root)
    yield timer_finding(_median_timer_cost_ns())
    yield _gpu()


def _cpus(root: Path) -> Finding:
    count, shown = effective_cpus(root), host.processor(root).logical_cpus
    text = f"{count} of {shown} CPUs can be used"
    if count < 2:
        return Finding(
            kind="warning",
            subject="cpus",
            text=f"{text}: the runner shares it with what it measures",
            hint="give this machine, container or control group at least 2 CPUs",
        )
    return Finding(kind="ok", subject="cpus", text=text)


def _virtual_machine(root: Path) -> Finding:
    if not host.processor(root).hypervisor:
        return Finding(kind="ok", subject="virtual machine", text="no hypervisor is seen")
    return Finding(
        kind="warning",
        subject="virtual machine",
        text="a hypervisor is present: neighbours are invisible, frequencies and hardware counters may be too",
        hint="trust ratios inside one run; compare absolute times only between runs on one machine",
    )


def _frequency(root: Path) -> Iterator[Finding]:
    governor, turbo = host.governor(root), host.turbo(root)
    if not governor:
        yield Finding(kind="unavailable", subject="frequency governor", text="the kernel does not show one")
    elif governor != "performance":
        yield Finding(
            kind="warning",
            subject="frequency governor",
            text=f"{governor}: the clock follows the load, short blocks run slower than long ones",
            hint="cpupower frequency-set --governor performance",
        )
    else:
        yield Finding(kind="ok", subject="frequency governor", text=governor)
    if turbo == "on":
        yield Finding(
            kind="warning",
            subject="turbo",
            text="on: the clock depends on temperature and on how many cores are busy",
            hint="switch boost off in the firmware or under /sys/devices/system/cpu, or compare inside one run only",
        )


def _huge_pages(root: Path) -> Finding:
    mode = host.huge_pages(root)
    if mode == "always":
        return Finding(
            kind="warning",
            subject="transparent huge pages",
            text="always: the kernel's background daemon moves pages while a block is timed",
            hint="echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    if mode == "never":
        return Finding(
            kind="warning",
            subject="transparent huge pages",
            text="never: the speed of a process depends more on where its pages happened to lie",
            hint="echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    return Finding(
        kind="ok" if mode else "unavailable",
        subject="transparent huge pages",
        text=mode or "the kernel does not show the mode",
    )


def _steal(root: Path) -> Finding:
    counters = [int(number) for number in fields(read_text(root / "proc/stat"), " ").get("cpu", "").split()]
    if len(counters) < 8:
        return Finding(kind="unavailable", subject="stolen time", text="the kernel does not count it")
    # user, nice, system, idle, iowait, irq, softirq, steal; guest time is already in user
    ratio = counters[7] / max(1, sum(counters[:8]))
    text = f"{ratio:.2%} of CPU time since boot went to other virtual machines"
    if ratio <= _STEAL_WARNING_RATIO:
        return Finding(kind="ok", subject="stolen time", text=text)
    return Finding(
        kind="warning",
        subject="stolen time",
        text=text,
        hint="use a machine with dedicated CPUs; until then expect wide intervals and flags",
    )


def _load(root: Path) -> Finding:
    load = float((read_text(root / "proc/loadavg").split() or ["0"])[0])
    text = f"{load:.2f} tasks on average in the last minute"
    if load <= _LOAD_WARNING_PER_CPU * effective_cpus(root):
        return Finding(kind="ok", subject="load", text=text)
    return Finding(kind="warning", subject="load", text=text, hint="wait, or stop what else runs: top -o %CPU")


def _pressure(root: Path) -> Finding:
    ratio = host.cpu_pressure_ratio(root)
    if ratio is None:
        return Finding(
            kind="unavailable",
            subject="cpu pressure",
            text="the kernel does not count it, so contention is seen from scheduling delays only",
        )
    text = f"in {ratio:.1%} of the last 10 s some task waited for a CPU"
    if ratio <= _PRESSURE_WARNING_RATIO:
        return Finding(kind="ok", subject="cpu pressure", text=text)
    return Finding(kind="warning", subject="cpu pressure", text=text, hint="wait, or stop what else runs: top -o %CPU")


def _memory(root: Path) -> Finding:
    available = available_memory_bytes(root)
    text = f"{format_bytes(available)} can be used"
    if available >= _MEMORY_WARNING_BYTES:
        return Finding(kind="ok", subject="memory", text=text)
    return Finding(
        kind="warning",
        subject="memory",
        text=f"{text}: fewer workers are alive at once, and a framework's may not fit at all",
        hint="stop what else runs, or raise the memory limit of this container or control group",
    )


def _swap(root: Path) -> Finding:
    areas = read_text(root / "proc/swaps").splitlines()[1:]
    if not areas:
        return Finding(kind="ok", subject="swap", text="none")
    return Finding(
        kind="warning",
        subject="swap",
        text="on: a worker short of memory becomes slow instead of failing",
        hint="swapoff --all, where memory allows",
    )


def _clock_source(root: Path) -> Finding:
    source = host.kernel(root).clock_source
    if source in _GOOD_CLOCK_SOURCES:
        return Finding(kind="ok", subject="clock source", text=source)
    return Finding(
        kind="warning" if source else "unavailable",
        subject="clock source",
        text=f"{source}: reading the time may need a system call" if source else "the kernel does not show it",
        hint="boot with clocksource=tsc where the processor allows" if source else "",
    )


def _median_timer_cost_ns() -> int:
    now = time.perf_counter_ns
    readings = [now() for _ in range(_TIMER_READINGS)]
    return sorted(after - before for before, after in pairwise(readings))[_TIMER_READINGS // 2]


def timer_finding(cost_ns: int) -> Finding:
    """Judge the median cost of reading the clock once."""
    text = f"reading the clock takes {cost_ns} ns"
    if cost_ns <= _TIMER_WARNING_NS:
        return Finding(kind="ok", subject="timer", text=text)
    return Finding(
        kind="warning",
        subject="timer",
        text=f"{text}: calls shorter than {100 * cost_ns / 1000:.0f} us are not resolved",
        hint="see the clock source; raise the batch of very small models",
    )


def _gpu() -> Finding:
    answer = gpus()
    if not answer.found:
        return Finding(kind="unavailable", subject="gpu", text=answer.reason)
    names = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in answer.found)
    return Finding(kind="ok", subject="gpu", text=names)
