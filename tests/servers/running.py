"""Topologies by hand: what they describe is started as it says, and runs for as long as a test needs it."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from bench.core.serving import LOOPBACK, Description, Probe, Process, Service, Site
from servers.counters import WorkerCounts, read_counters
from tests.servers.http_servers import Running, new_site

_LEAVE_S = 15.0
_PAUSE_S = 0.02


def site_in(directory: Path) -> Site:
    """A site with a nonce of its own: names that are made of it must not meet those of another run of these tests."""
    return replace(new_site(directory), nonce=secrets.token_hex(8))


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A topology that is up; `front` is who answers."""

    processes: dict[str, subprocess.Popen[bytes]]
    front: Running
    site: Site

    def log(self, name: str) -> str:
        """What a process has said."""
        return (self.site.directory / f"{name}.log").read_text(errors="replace")

    def counts(self) -> dict[int, WorkerCounts]:
        """What each process of ours has counted, by its id."""
        return {counts.pid: counts for counts in read_counters(self.site.counters_dir)}


@contextlib.contextmanager
def deployed(description: Description, service: Service, site: Site) -> Iterator[Deployed]:
    """Each process is started once the one before is ready; all are ended in the opposite order.

    AssertionError with the end of its log when one is not ready in time, or does not leave after a SIGTERM.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for process in description.processes:
            processes[process.name] = _start(process, site.directory)
            _await(process, processes[process.name], site.directory)
        last = next(reversed(processes.values()))
        front = Running(port=description.endpoint.port, process=last, counters_dir=site.counters_dir, service=service)
        yield Deployed(processes=processes, front=front, site=site)
    finally:
        stuck = [name for name, process in reversed(processes.items()) if not _end(process)]
        assert not stuck, f"did not leave after SIGTERM: {stuck}"


def wait_until(condition: Callable[[], Any], *, at_most_s: float = 10.0, pause_s: float = _PAUSE_S) -> None:
    """AssertionError when it does not come true in time."""
    give_up_at = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(pause_s)


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All processes below one."""
    return psutil.Process(process.pid).children(recursive=True)


def listening_addresses(processes: list[psutil.Process]) -> set[str]:
    """On which addresses any of them listens."""
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def _start(process: Process, directory: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **dict(process.environment)}
    with open(directory / f"{process.name}.log", "wb") as log:
        return subprocess.Popen(
            process.argv, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def _await(process: Process, started: subprocess.Popen[bytes], directory: Path) -> None:
    give_up_at = time.monotonic() + process.ready.deadline_s
    while not _is_ready(process.ready):
        ended = started.poll() is not None
        if ended or time.monotonic() > give_up_at:
            said = (directory / f"{process.name}.log").read_text(errors="replace")[-3000:]
            raise AssertionError(f"{process.name} {'ended' if ended else 'is not ready'}: {said}")
        time.sleep(_PAUSE_S)


def _is_ready(probe: Probe) -> bool:
    try:
        if probe.kind == "tcp":
            socket.create_connection((LOOPBACK, probe.port), timeout=1).close()
            return True
        with contextlib.closing(http.client.HTTPConnection(LOOPBACK, probe.port, timeout=5)) as connection:
            connection.request("GET", probe.path)
            answer = connection.getresponse()
            return answer.status == 200 and probe.expects.encode() in answer.read()
    except (OSError, http.client.HTTPException):
        return False


def _end(process: subprocess.Popen[bytes]) -> bool:
    """SIGTERM, then after a while SIGKILL to all of its session; False when that was needed."""
    process.terminate()
    try:
        process.wait(_LEAVE_S)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_LEAVE_S)
