"""The fingerprint: what it reads, what makes two machines different, what does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.environment import Environment, differences, fingerprint
from bench.environment.facts import Gpu

Machine = Callable[[Mapping[str, str]], Path]


def test_it_reads_what_the_kernel_shows(machine: Machine) -> None:
    found = fingerprint({}, root=machine({}))
    assert (found.processor.model, found.processor.microcode) == ("Example 9000", "0x2a")
    assert (found.processor.logical_cpus, found.processor.threads_per_core) == (4, 2)
    assert found.processor.caches == (("L1d", "32K"), ("L2", "1024K"))
    assert (found.processor.governor, found.processor.turbo) == ("performance", "off")
    assert not found.processor.hypervisor
    assert found.memory_gib == 16
    assert (found.kernel.release, found.kernel.clock_source) == ("6.1.0-example", "tsc")
    assert (found.kernel.transparent_huge_pages, found.kernel.address_space_layout) == ("madvise", "randomized")
    assert found.share.affinity == (0, 1, 2, 3)
    assert found.moment.load_average == (0.1, 0.2, 0.3)
    assert found.moment.cpu_pressure_ratio == pytest.approx(0.005)
    assert found.moment.control_groups == (("unified", "/user/session-1"),)
    assert found.moment.temperatures_celsius == (("x86_pkg_temp", 41.5),)
    assert dict(found.software.packages)["numpy"]


def test_a_kernel_that_shows_nothing_gives_empty_words_and_no_error(tmp_path: Path) -> None:
    found = fingerprint({}, root=tmp_path)
    assert (found.processor.governor, found.processor.turbo, found.kernel.release) == ("", "", "")
    assert found.kernel.address_space_layout == ""
    assert found.moment.cpu_pressure_ratio is None


def test_this_machine_has_a_fingerprint_that_survives_json() -> None:
    found = fingerprint({"OMP_NUM_THREADS": "1"})
    again = msgspec.json.decode(msgspec.json.encode(found), type=Environment)
    assert again == found
    assert again.id == found.id
    assert differences(found, again) == []
    assert found.kernel.release
    assert found.share.affinity


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("proc/loadavg", "9.00 9.00 9.00 1/100 1\n"),
        ("proc/sys/kernel/random/boot_id", "another\n"),
        ("proc/meminfo", "MemTotal:       16384100 kB\nMemAvailable:    1000 kB\n"),
        ("sys/class/thermal/thermal_zone0/temp", "90000\n"),
        ("proc/pressure/cpu", "some avg10=80.00 avg60=0 avg300=0 total=1\n"),
        ("proc/self/cgroup", "0::/user\n"),
    ],
)
def test_a_passing_state_does_not_change_the_identity(machine: Machine, file: str, content: str) -> None:
    before, after = fingerprint({}, root=machine({})), fingerprint({}, root=machine({file: content}))
    assert before.moment != after.moment
    assert before.id == after.id
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("file", "content", "difference"),
    [
        ("proc/cpuinfo", "processor: 0\nmodel name: Other\n", ("processor.model", "Example 9000", "Other")),
        ("proc/sys/kernel/osrelease", "6.2\n", ("kernel.release", "6.1.0-example", "6.2")),
        ("proc/sys/kernel/randomize_va_space", "0\n", ("kernel.address_space_layout", "randomized", "fixed")),
        ("proc/self/personality", "00040000\n", ("kernel.address_space_layout", "randomized", "fixed")),
        ("proc/self/status", "Cpus_allowed_list:\t0-1\n", ("share.affinity", "0,1,2,3", "0,1")),
        ("sys/fs/cgroup/user/cpu.max", "200000 100000\n", ("share.cpu_quota_cores", "None", "2.0")),
        ("sys/devices/system/cpu/cpufreq/boost", "1\n", ("processor.turbo", "off", "on")),
        (
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            "powersave\n",
            ("processor.governor", "performance", "performance,powersave"),
        ),
        ("sys/devices/system/cpu/cpu0/cache/index1/size", "2048K\n", ("processor.caches.L2", "1024K", "2048K")),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never\n",
            ("kernel.transparent_huge_pages", "madvise", "always"),
        ),
    ],
)
def test_what_moves_latencies_changes_the_identity_and_is_named(
    machine: Machine, file: str, content: str, difference: tuple[str, str, str]
) -> None:
    before, after = fingerprint({}, root=machine({})), fingerprint({}, root=machine({file: content}))
    assert before.id != after.id
    assert difference in differences(before, after)


def test_steering_variables_of_workers_are_kept_and_others_are_not(machine: Machine) -> None:
    variables = {
        "OMP_NUM_THREADS": "2",
        "KMP_BLOCKTIME": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "TF_NUM_INTRAOP_THREADS": "2",
        "LD_PRELOAD": "libjemalloc.so.2",
        "HOME": "somewhere",
        "TF_VAR_db_password": "hunter2",
        "TORCH_HUB_TOKEN": "hunter2",
        "OMPLOYEE": "me",
    }
    software = fingerprint(variables, root=machine({})).software
    assert dict(software.variables) == {
        "OMP_NUM_THREADS": "2",
        "KMP_BLOCKTIME": "0",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "TF_NUM_INTRAOP_THREADS": "2",
    }
    assert software.preload == "libjemalloc.so.2"


def test_a_variable_that_only_one_side_has_is_empty_on_the_other(machine: Machine) -> None:
    root = machine({})
    plain, spinning = fingerprint({}, root=root), fingerprint({"KMP_BLOCKTIME": "200"}, root=root)
    assert ("software.variables.KMP_BLOCKTIME", "", "200") in differences(plain, spinning)


def test_another_gpu_is_another_machine(machine: Machine) -> None:
    bare = replace(fingerprint({}, root=machine({})), gpus=())
    gpu = Gpu(name="Example GPU", driver="1.0", memory_bytes=1, mig=False)
    fitted = replace(bare, gpus=(gpu,))
    assert bare.id != fitted.id
    assert ("gpus.0.name", "", "Example GPU") in differences(bare, fitted)
