"""Kernel counters of the calling process around one block; reading them costs tens of microseconds."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from bench.core.block import Counters

_READ_BYTES = 65_536
_STEAL_FIELD = 8  # of the "cpu" line of /proc/stat, see proc(5)
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class _KernelFile:
    """A file that the kernel writes anew at each read; kept open, because opening costs more than reading."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            self._descriptor = -1

    def read(self) -> bytes:
        """The content now, empty where the file or what it tells of does not exist."""
        if self._descriptor < 0:
            return b""
        try:
            return os.pread(self._descriptor, _READ_BYTES, 0)
        except OSError:
            return b""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, slots=True)
class _Machine:
    steal_ns: int
    pressure_ns: int
    throttled_ns: int


class CounterReader:
    """Differences between `start()` and `stop()`, in the process that calls them; what the kernel lacks reads as 0.

    CPU time and run delay are summed over the threads that live at `stop()`; a thread that came meanwhile counts
    from its birth. `root` stands in for `/` in tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._tasks_dir = root / "proc/self/task"
        self._tasks: dict[str, _KernelFile] = {}
        self._stat = _KernelFile(root / "proc/stat")
        self._pressure = _KernelFile(root / "proc/pressure/cpu")
        self._throttle_key, self._throttle_unit_ns, paths = _throttle_files(root)
        self._throttle = [_KernelFile(path) for path in paths]
        self._machine = _Machine(0, 0, 0)
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._threads: dict[str, tuple[int, int]] = {}

    def start(self) -> None:
        """Remember where the counters stand."""
        self._machine = self._read_machine()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._threads = self._read_threads()

    def stop(self) -> Counters:
        """What was counted since `start()`."""
        # As in start(), usage first: it brings the running thread's schedstat up to date, which is otherwise as old as
        # the last tick, up to 4 ms.
        usage = resource.getrusage(resource.RUSAGE_SELF)
        threads = self._read_threads()
        machine = self._read_machine()
        cpu_ns, delay_ns = _since(self._threads, threads)
        return Counters(
            cpu_ns=cpu_ns,
            run_delay_ns=delay_ns,
            voluntary_switches=usage.ru_nvcsw - self._usage.ru_nvcsw,
            involuntary_switches=usage.ru_nivcsw - self._usage.ru_nivcsw,
            major_faults=usage.ru_majflt - self._usage.ru_majflt,
            # The kernel's own sums over CPUs may step back by a tick when a CPU goes idle.
            steal_ns=max(0, machine.steal_ns - self._machine.steal_ns),
            pressure_ns=max(0, machine.pressure_ns - self._machine.pressure_ns),
            throttled_ns=max(0, machine.throttled_ns - self._machine.throttled_ns),
            threads=len(threads),
        )

    def close(self) -> None:
        """Give the open files back."""
        for file in (*self._tasks.values(), *self._throttle, self._stat, self._pressure):
            file.close()
        self._tasks.clear()

    def _read_threads(self) -> dict[str, tuple[int, int]]:
        """Thread id -> (ns on a core, ns runnable but waiting), see sched-stats in the kernel's documentation."""
        try:
            alive = os.listdir(self._tasks_dir)
        except OSError:
            return {}
        for gone in self._tasks.keys() - set(alive):
            self._tasks.pop(gone).close()
        readings = {thread: self._read_thread(thread) for thread in alive}
        return {thread: reading for thread, reading in readings.items() if reading is not None}

    def _read_thread(self, thread: str) -> tuple[int, int] | None:
        file = self._tasks.get(thread)
        content = file.read() if file else b""
        if not content:  # new, or a thread that died and whose number a younger one carries
            if file:
                file.close()
                self._threads.pop(thread, None)
            file = self._tasks[thread] = _KernelFile(self._tasks_dir / thread / "schedstat")
            content = file.read()
        fields = content.split()
        return (int(fields[0]), int(fields[1])) if len(fields) >= 2 else None

    def _read_machine(self) -> _Machine:
        throttled = sum(_value(file.read(), self._throttle_key) for file in self._throttle)
        return _Machine(
            steal_ns=_steal_ticks(self._stat.read()) * _NS_PER_TICK,
            pressure_ns=_some_total_us(self._pressure.read()) * 1000,
            throttled_ns=throttled * self._throttle_unit_ns,
        )


def _since(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """Sums of the differences; a reading below the earlier one belongs to a younger thread of the same number."""
    cpu_ns = delay_ns = 0
    for thread, (cpu, delay) in after.items():
        old_cpu, old_delay = before.get(thread, (0, 0))
        if cpu < old_cpu or delay < old_delay:
            old_cpu = old_delay = 0
        cpu_ns += cpu - old_cpu
        delay_ns += delay - old_delay
    return cpu_ns, delay_ns


def _steal_ticks(stat: bytes) -> int:
    fields = stat.split(b"\n", 1)[0].split()
    return int(fields[_STEAL_FIELD]) if len(fields) > _STEAL_FIELD and fields[0] == b"cpu" else 0


def _some_total_us(pressure: bytes) -> int:
    line = pressure.split(b"\n", 1)[0]
    return int(line.rpartition(b"total=")[2]) if line.startswith(b"some") and b"total=" in line else 0


def _value(stat: bytes, key: bytes) -> int:
    for line in stat.splitlines():
        name, _, value = line.partition(b" ")
        if name == key:
            return int(value)
    return 0


def _throttle_files(root: Path) -> tuple[bytes, int, list[Path]]:
    """Key, its unit in ns and the cpu.stat files of the process's own control group and of all visible ones above it.

    A quota counts in the group that it was set on, so every level is read. The cpu controller is in version 1 or in
    version 2, never in both.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return b"", 1, []
    mounts = root / "sys/fs/cgroup"
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if "cpu" in controllers.split(","):
            return b"throttled_time", 1, _levels((mounts / controllers, mounts / "cpu"), path)
    for hierarchy, _, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if hierarchy == "0":
            return b"throttled_usec", 1000, _levels((mounts, mounts / "unified"), path)
    return b"", 1, []


def _levels(mounts: tuple[Path, ...], path: str) -> list[Path]:
    """The cpu.stat files from the group `path` up to the first of `mounts` that exists."""
    for mount in mounts:
        group = mount / path.strip("/")
        levels = [level for level in (group, *group.parents) if level.is_relative_to(mount)]
        files = [level / "cpu.stat" for level in levels if (level / "cpu.stat").is_file()]
        if files:
            return files
    return []
