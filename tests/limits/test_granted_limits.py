"""Which limits can be granted here, what the launcher is told, and what the kernel says afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.core import plugins
from bench.core.cell import Limits
from bench.core.errors import HostError
from bench.limits import blockers, limiter_label, orders, require


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(30)"])
    yield process
    process.kill()
    process.wait()


def test_no_limits_need_nothing(sleeper):
    assert blockers(Limits()) == ()
    assert orders(Limits()) == {}
    assert limiter_label(Limits()) == "none"
    require(Limits(), sleeper.pid)


def test_orders_hold_what_was_asked_and_the_label_says_how_it_is_kept():
    limits = Limits(cpu_ids=(0,), memory_limit_bytes=10**9)
    assert blockers(limits) == ()
    assert orders(limits) == {"cpu_ids": [0], "address_space_bytes": 10**9}
    assert limiter_label(limits) == "affinity + address space"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (
            Limits(cpu_quota_cores=1.5),
            "cpu_quota_cores needs cgroup limiter, not available in this version: use cpu_ids",
        ),
        (Limits(gpu_ids=(0,)), "gpu_ids needs gpu limiter, not available in this version: leave gpu_ids out"),
        (Limits(cpu_ids=()), "cpu_ids is empty: name at least one CPU"),
    ],
)
def test_what_cannot_be_granted_is_said_with_the_way_out(limits, reason):
    assert blockers(limits) == (reason,)


def test_cpus_that_may_not_be_used_are_named():
    (reason,) = blockers(Limits(cpu_ids=(0, 1023)))
    assert reason.startswith("cpu_ids 1023 may not be used here: choose from 0")


def test_a_memory_limit_above_the_shells_own_is_said(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10**9, 10**9))
    assert blockers(Limits(memory_limit_bytes=10**9)) == ()
    assert "is above this shell's own 1 GB" in blockers(Limits(memory_limit_bytes=2 * 10**9))[0]


def test_a_cpu_set_that_is_not_in_force_is_an_error(sleeper):
    os.sched_setaffinity(sleeper.pid, {0})
    require(Limits(cpu_ids=(0,)), sleeper.pid)
    with pytest.raises(HostError, match="cpu_ids 0,1 were asked for, the kernel grants 0"):
        require(Limits(cpu_ids=(0, 1)), sleeper.pid)


def test_a_memory_limit_that_is_not_in_force_is_an_error(sleeper):
    limits = Limits(memory_limit_bytes=10**9)
    with pytest.raises(HostError, match="1 GB was asked for, the kernel grants no limit"):
        require(limits, sleeper.pid)
    resource.prlimit(sleeper.pid, resource.RLIMIT_AS, (10**9, 2 * 10**9))
    with pytest.raises(HostError, match="the kernel grants 1 GB"):  # the child could raise it to the hard limit
        require(limits, sleeper.pid)
    resource.prlimit(sleeper.pid, resource.RLIMIT_AS, (10**9, 10**9))
    require(limits, sleeper.pid)


@pytest.mark.parametrize("name", ["affinity", "none", "rlimit"])
def test_every_line_of_the_table_names_a_limiter(name):
    limiter = plugins.load("limiters", name)()
    assert limiter.label
    assert not limiter.orders(Limits())
    assert not limiter.blockers(Limits())
