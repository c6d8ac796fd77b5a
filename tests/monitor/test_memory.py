"""Peak memory of a tree, on made-up numbers and on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core.errors import HostError
from bench.monitor.memory import PeakMemory, peak_memory, peak_memory_bytes
from bench.monitor.processes import start_ticks, tree

KIB = 1024


def process(proc: Path, pid: int, parent: int, *, pss: int | None, peak: int, resident: int, name: str = "w") -> None:
    directory = proc / str(pid)
    directory.mkdir(parents=True)
    (directory / "stat").write_text(f"{pid} ({name}) S {parent} " + " ".join(map(str, range(5, 30))))
    (directory / "status").write_text(f"Name:\tw\nVmHWM:\t{peak} kB\nVmRSS:\t{resident} kB\nThreads:\t1\n")
    if pss is not None:
        (directory / "smaps_rollup").write_text(f"00400000-7fff ---p 0 00:00 0  [rollup]\nRss:  9 kB\nPss:  {pss} kB\n")


def test_proportional_sizes_of_a_tree_are_added_with_what_was_given_back(tmp_path):
    process(tmp_path, 10, 1, pss=100, peak=300, resident=250)
    process(tmp_path, 11, 10, pss=40, peak=60, resident=60, name="evil) S 99 (")
    process(tmp_path, 12, 11, pss=1, peak=2, resident=2)
    process(tmp_path, 13, 1, pss=1000, peak=1000, resident=1000)
    assert peak_memory(10, proc=tmp_path) == PeakMemory(bytes=(100 + 50 + 40 + 1) * KIB, source="pss")
    assert peak_memory_bytes(10, proc=tmp_path) == 191 * KIB


def test_without_proportional_sizes_the_peak_resident_set_is_named(tmp_path):
    process(tmp_path, 10, 1, pss=None, peak=300, resident=250)
    assert peak_memory(10, proc=tmp_path) == PeakMemory(bytes=300 * KIB, source="VmHWM")


def test_a_process_that_is_gone_is_said(tmp_path):
    with pytest.raises(HostError, match="process 10 cannot be read"):
        peak_memory(10, proc=tmp_path)


def test_memory_that_was_given_back_still_counts():
    code = "x = bytearray(60_000_000); del x; import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = peak_memory(child.pid)
        child.communicate()
    assert found.source == "pss"
    assert 60_000_000 < found.bytes < 100_000_000


def test_a_shared_page_counts_once():
    code = (
        "import mmap, os, sys\n"
        "shared = mmap.mmap(-1, 60_000_000); [shared.write(b'x' * 60_000) for _ in range(1000)]\n"
        "if os.fork(): print(flush=True); sys.stdin.read()\n"
        "else: sum(shared[i] for i in range(0, 60_000_000, 4096)); os.write(1, b'.\\n'); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline(), child.stdout.readline()
        assert len(tree(child.pid)) == 2
        found = peak_memory_bytes(child.pid)
        child.communicate()
    assert 60_000_000 < found < 100_000_000


def test_the_start_of_a_process_is_fixed_and_that_of_none_is_none():
    assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    assert (start_ticks(os.getpid()) or 0) > (start_ticks(1) or 0)
    assert start_ticks(2**22 + 1) is None
