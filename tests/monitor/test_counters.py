"""Counters around a block, on a made-up kernel with known numbers and on this one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bench.core.block import Counters
from bench.monitor.counters import CounterReader


class Kernel:
    """Files of /proc and /sys/fs/cgroup under a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self/task").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def thread(self, number: int, cpu_ns: int, delay_ns: int) -> None:
        self.write(f"proc/self/task/{number}/schedstat", f"{cpu_ns} {delay_ns} 7\n")

    def end_thread(self, number: int) -> None:
        (self.root / f"proc/self/task/{number}/schedstat").unlink()
        (self.root / f"proc/self/task/{number}").rmdir()


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def reader(kernel: Kernel):
    def reader():
        made.append(CounterReader(kernel.root))
        return made[-1]

    made: list[CounterReader] = []
    yield reader
    for one in made:
        one.close()


def test_differences_are_summed_over_threads(kernel, reader):
    kernel.thread(1, 100, 10)
    kernel.thread(2, 1000, 20)
    counters = reader()
    counters.start()
    kernel.thread(1, 150, 13)
    kernel.thread(2, 1400, 24)
    found = counters.stop()
    assert (found.cpu_ns, found.run_delay_ns, found.threads) == (450, 7, 2)


def test_threads_that_come_and_go_never_give_a_negative_number(kernel, reader):
    kernel.thread(1, 100, 10)
    kernel.thread(2, 5_000, 500)
    counters = reader()
    counters.start()
    kernel.end_thread(2)
    kernel.thread(3, 70, 7)
    found = counters.stop()
    assert (found.cpu_ns, found.run_delay_ns, found.threads) == (70, 7, 2)


def test_a_number_that_a_younger_thread_carries_counts_from_its_birth(kernel, reader):
    kernel.thread(2, 5_000, 500)
    counters = reader()
    counters.start()
    kernel.thread(2, 60, 6)
    found = counters.stop()
    assert (found.cpu_ns, found.run_delay_ns) == (60, 6)


def test_steal_pressure_and_throttling_are_read_in_their_own_units(kernel, reader):
    ticks_per_s = os.sysconf("SC_CLK_TCK")

    def at(steal, pressure_us, throttled):
        kernel.write("proc/stat", f"cpu  1 2 3 4 5 6 7 {steal} 9 10\ncpu0 1 2 3 4 5 6 7 99 9 10\n")
        kernel.write("proc/pressure/cpu", f"some avg10=0.00 avg60=0.00 avg300=0.00 total={pressure_us}\nfull total=9\n")
        kernel.write("sys/fs/cgroup/job/cpu.stat", f"usage_usec 5\nnr_throttled 1\nthrottled_usec {throttled}\n")

    kernel.write("proc/self/cgroup", "0::/job\n")
    at(5, 100, 40)
    counters = reader()
    counters.start()
    at(8, 350, 90)
    found = counters.stop()
    assert found.steal_ns == 3 * 1_000_000_000 // ticks_per_s
    assert found.pressure_ns == 250_000
    assert found.throttled_ns == 50_000


def test_a_quota_above_the_own_group_is_seen(kernel, reader):
    kernel.write("proc/self/cgroup", "0::/pod/job\n")
    kernel.write("sys/fs/cgroup/pod/job/cpu.stat", "throttled_usec 0\n")
    kernel.write("sys/fs/cgroup/pod/cpu.stat", "throttled_usec 10\n")
    counters = reader()
    counters.start()
    kernel.write("sys/fs/cgroup/pod/cpu.stat", "throttled_usec 12\n")
    assert counters.stop().throttled_ns == 2000


def test_version_one_of_control_groups_counts_in_nanoseconds(kernel, reader):
    kernel.write("proc/self/cgroup", "9:name=systemd:/\n3:cpu,cpuacct:/job\n0::/other\n")
    kernel.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 100\n")
    kernel.write("sys/fs/cgroup/unified/other/cpu.stat", "throttled_usec 7\n")
    counters = reader()
    counters.start()
    kernel.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 160\n")
    assert counters.stop().throttled_ns == 60


def test_a_kernel_that_tells_nothing_reads_as_zero(tmp_path):
    counters = CounterReader(tmp_path)
    counters.start()
    found = counters.stop()
    assert found == Counters(
        voluntary_switches=found.voluntary_switches,
        involuntary_switches=found.involuntary_switches,
        major_faults=found.major_faults,
    )


def native_threads():
    """Threads of this process as the kernel counts them: libraries that other tests loaded have some of their own."""
    return len(os.listdir("/proc/self/task"))


def test_a_busy_thread_is_seen_on_this_kernel():
    counters = CounterReader()
    counters.start()
    before = time.thread_time_ns()
    while time.thread_time_ns() - before < 30_000_000:
        pass
    found = counters.stop()
    counters.close()
    assert found.threads == native_threads()
    assert 0.9 < found.cpu_ns / (time.thread_time_ns() - before) < 1.2


def test_real_threads_that_come_and_go_leave_no_descriptor_open():
    counters = CounterReader()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=time.sleep, args=(0.005,))
        thread.start()
        counters.start()
        thread.join()
        found = counters.stop()
        assert min(found.cpu_ns, found.run_delay_ns) >= 0
    counters.stop()
    assert len(os.listdir("/proc/self/fd")) <= before + native_threads()
    counters.close()


def test_a_sleep_is_a_voluntary_switch():
    counters = CounterReader()
    counters.start()
    for _ in range(5):
        time.sleep(0.001)
    assert counters.stop().voluntary_switches >= 5
    counters.close()


def test_a_reading_costs_less_than_two_hundred_microseconds():
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(16)]
    for thread in threads:
        thread.start()
    counters = CounterReader()
    costs_ns = []
    for _ in range(200):
        started = time.perf_counter_ns()
        counters.start()
        costs_ns.append(time.perf_counter_ns() - started)
    stop.set()
    counters.close()
    for thread in threads:
        thread.join()
    assert min(costs_ns) < 200_000
