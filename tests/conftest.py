"""Every test leaves the machine as it found it: processes, listeners, control groups, shared memory, temp files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest

_GRACE_S = 2.0  # what is on its way out when a test returns may take this long
_NAME = "deploybench"
_PR_SET_CHILD_SUBREAPER = 36

Things = dict[object, str]  # what is there, and how to call it in a message


def pytest_configure() -> None:
    """Let orphans become our children, so that a process whose parent died is still seen; and let what we start obey
    signals, also where these tests run as a shell's background job, which ignores some for all its children."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves something behind, and name it; a process is ended, so that it fails one test only."""
    before = {look: look() for look in _LOOKS}
    yield
    deadline = time.monotonic() + _GRACE_S
    while leaks := {key: text for look, old in before.items() for key, text in look().items() if key not in old}:
        if time.monotonic() > deadline:
            _end([key for key in leaks if isinstance(key, psutil.Process)])
            pytest.fail(f"the test left behind: {'; '.join(leaks.values())}", pytrace=False)
        time.sleep(0.01)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=_GRACE_S)


def _processes() -> Things:
    """Descendants that still run; a zombie has ended."""
    found: Things = {}
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process] = f"process {process.pid} ({' '.join(process.cmdline())[:100]})"
    return found


def _descendants(pid: int) -> list[int]:
    """Far cheaper than psutil's children(), which reads every process of the machine."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, children.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _listeners() -> Things:
    """Listening sockets of this process; those of a child are gone with the child."""
    found: Things = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as listener:
                    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found[name, listener.getsockname()] = f"listener on {listener.getsockname()}"
    return found


@cache
def _control_group_parents() -> tuple[str, ...]:
    """Directories in which a control group of ours may be made: our own groups and all above them."""
    root = Path("/sys/fs/cgroup")
    parents: set[Path] = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in ("", "unified", *controllers.split(",")):
            own = root / mount / path.lstrip("/")
            parents |= {directory for directory in (own, *own.parents) if directory.is_relative_to(root)}
    return tuple(sorted(str(parent) for parent in parents if parent.is_dir()))


def _control_groups() -> Things:
    groups = [group for parent in _control_group_parents() for group in _entries(parent, _NAME)]
    groups += [inner for group in groups for inner in _entries(group) if os.path.isdir(inner)]
    return {group: f"control group {group}" for group in groups}


def _shared_memory() -> Things:
    return {entry: f"shared memory {entry}" for entry in _entries("/dev/shm")}


def _temporary_files() -> Things:
    directory = tempfile.gettempdir()
    return {entry: f"temporary file {entry}" for entry in _entries(directory, _NAME) + _entries(directory, f".{_NAME}")}


def _entries(directory: str, prefix: str = "") -> list[str]:
    try:
        return [os.path.join(directory, name) for name in os.listdir(directory) if name.startswith(prefix)]
    except OSError:
        return []


_LOOKS: tuple[Callable[[], Things], ...] = (_processes, _listeners, _control_groups, _shared_memory, _temporary_files)
