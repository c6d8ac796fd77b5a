"""A machine made of files: what /proc and /sys say, below a directory that tests write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Machine = Callable[[Mapping[str, str]], Path]

#: A quiet 4-CPU machine with a v2 control group of its own and no limits.
QUIET = {
    "proc/cpuinfo": "".join(
        f"processor\t: {cpu}\nmodel name\t: Example 9000\nmicrocode\t: 0x2a\nflags\t\t: fpu sse\n\n" for cpu in range(4)
    ),
    "proc/meminfo": "MemTotal:       16384000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n",
    "proc/loadavg": "0.10 0.20 0.30 1/100 4242\n",
    "proc/stat": "cpu  1000 0 500 90000 10 0 5 0 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "proc/pressure/cpu": "some avg10=0.50 avg60=0.40 avg300=0.30 total=1\nfull avg10=0.00 avg60=0 avg300=0 total=0\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "proc/self/personality": "00000000\n",
    "proc/self/cgroup": "0::/user/session-1\n",
    "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    "proc/sys/kernel/osrelease": "6.1.0-example\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    "proc/sys/kernel/perf_event_paranoid": "2\n",
    "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    "sys/fs/cgroup/user/session-1/cgroup.procs": "1\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/devices/system/node/node0/cpulist": "0-3\n",
    "sys/devices/system/cpu/cpufreq/boost": "0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2\n",
    "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
    "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
    "sys/devices/system/cpu/cpu0/cache/index1/level": "2\n",
    "sys/devices/system/cpu/cpu0/cache/index1/type": "Unified\n",
    "sys/devices/system/cpu/cpu0/cache/index1/size": "1024K\n",
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone0/temp": "41500\n",
}


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Write a machine that is quiet but for the given files; an empty text removes a file."""

    def build(changes: Mapping[str, str]) -> Path:
        root = tmp_path_factory.mktemp("machine")
        for name, content in {**QUIET, **changes}.items():
            if content:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
        return root

    return build
