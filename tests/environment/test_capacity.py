"""How many CPUs and bytes a process can have under affinity and control groups of both versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.environment import available_memory_bytes, effective_cpus
from bench.environment.capacity import cpu_quota_cores, cpuset, memory_limit_bytes
from bench.environment.kernel_files import id_list

Machine = Callable[[Mapping[str, str]], Path]

OWN = "sys/fs/cgroup/user/session-1"
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n3:cpuset:/job\n0::/\n",
    "proc/self/mountinfo": (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
        "36 31 0:33 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    ),
    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/cpuset/job/cpuset.effective_cpus": "0-1,3\n",
}


def test_without_limits_the_affinity_counts(machine: Machine) -> None:
    root = machine({"proc/self/status": "Cpus_allowed_list:\t0,2-3\n"})
    assert effective_cpus(root) == 3
    assert cpu_quota_cores(root) is None


def test_on_this_machine_there_is_at_least_one_cpu_and_some_memory() -> None:
    assert effective_cpus() >= 1
    assert available_memory_bytes() > 2**20


@pytest.mark.parametrize(("quota", "cpus"), [("150000", 2), ("100000", 1), ("20000", 1), ("900000", 4)])
def test_a_quota_is_rounded_up_to_whole_cpus_and_never_above_the_affinity(
    machine: Machine, quota: str, cpus: int
) -> None:
    assert effective_cpus(machine({f"{OWN}/cpu.max": f"{quota} 100000\n"})) == cpus
    assert effective_cpus(machine({**V1, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": quota})) == cpus


@pytest.mark.parametrize(("own", "above", "cores"), [("max", "200000", 2.0), ("100000", "200000", 1.0)])
def test_the_least_quota_of_our_group_and_those_above_counts(
    machine: Machine, own: str, above: str, cores: float
) -> None:
    root = machine({f"{OWN}/cpu.max": f"{own} 100000\n", "sys/fs/cgroup/user/cpu.max": f"{above} 100000\n"})
    assert cpu_quota_cores(root) == cores
    assert effective_cpus(root) == cores


def test_version_1_says_unlimited_as_minus_one_and_as_a_huge_number(machine: Machine) -> None:
    root = machine(V1)
    assert cpu_quota_cores(root) is None
    assert memory_limit_bytes(root) is None
    assert available_memory_bytes(root) == 8_000_000 * 1024
    assert cpuset(root) == "0-1,3"


def test_memory_is_what_the_group_leaves_with_page_cache_counted_as_free(machine: Machine) -> None:
    root = machine(
        {
            f"{OWN}/memory.max": "1000000000\n",
            f"{OWN}/memory.current": "700000000\n",
            f"{OWN}/memory.stat": "anon 400000000\ninactive_file 250000000\n",
        }
    )
    assert available_memory_bytes(root) == 550_000_000
    assert memory_limit_bytes(root) == 1_000_000_000


def test_memory_of_a_version_1_group_is_read_with_its_descendants(machine: Machine) -> None:
    job = "sys/fs/cgroup/memory/job"
    root = machine(
        {
            **V1,
            f"{job}/memory.limit_in_bytes": "1000\n",
            f"{job}/memory.usage_in_bytes": "900\n",
            f"{job}/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
        }
    )
    assert available_memory_bytes(root) == 400


def test_a_group_over_its_limit_leaves_nothing_and_not_less(machine: Machine) -> None:
    root = machine({f"{OWN}/memory.max": "1000\n", f"{OWN}/memory.current": "2000\n"})
    assert available_memory_bytes(root) == 0


def test_a_container_that_sees_the_host_s_path_reads_its_own_group(machine: Machine) -> None:
    root = machine(
        {
            "proc/self/cgroup": "0::/docker/abc/job\n",
            "proc/self/mountinfo": "30 20 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
            "sys/fs/cgroup/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/job/cpu.max": "100000 100000\n",
        }
    )
    assert effective_cpus(root) == 1


def test_a_group_that_is_not_mounted_here_falls_back_to_the_mount(machine: Machine) -> None:
    root = machine({"proc/self/cgroup": "0::/elsewhere/x\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"})
    assert effective_cpus(root) == 1


def test_without_any_control_group_there_is_no_limit(machine: Machine) -> None:
    root = machine({"proc/self/cgroup": "", "proc/self/mountinfo": ""})
    assert (cpu_quota_cores(root), memory_limit_bytes(root), cpuset(root)) == (None, None, "")
    assert effective_cpus(root) == 4


def test_the_kernel_s_list_format_is_read() -> None:
    assert id_list("0-2,5,7-7") == (0, 1, 2, 5, 7)
    assert id_list("") == ()
