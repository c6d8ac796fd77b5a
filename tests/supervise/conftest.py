"""A supervisor per containment, and children that speak the protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.supervise import Child, Outcome, ProcessSpec, Supervisor, worker_environment
from bench.supervise.spawn import namespace_blocker

CHILD = Path(__file__).with_name("synthetic_child.py")

Start = Callable[..., Child]
Ask = Callable[..., Outcome]


def spec_in(run_dir: Path, *words: str, name: str = "cell", **more: Any) -> ProcessSpec:
    base = {"PATH": os.environ["PATH"], "HOME": str(run_dir)}
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-S", str(CHILD), *words),
        environment=worker_environment(base, 1, fallback_home=run_dir / "home", seed=1),
        working_dir=run_dir,
        log_path=run_dir / f"{name}.log",
        **more,
    )


def living_descendants() -> list[psutil.Process]:
    """Of this process; pytest is a subreaper, so orphans are seen too."""
    return [process for process in psutil.Process().children(recursive=True) if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], *, at_most_s: float = 5.0) -> bool:
    give_up_at = time.monotonic() + at_most_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(params=["namespace", "group"])
def isolation(request: pytest.FixtureRequest) -> str:
    if request.param == "namespace" and (blocker := namespace_blocker()):
        if _unshare_works():
            pytest.fail(f"another program can use namespaces here, we cannot: {blocker}")
        pytest.skip(f"no namespaces here: {blocker}")
    return str(request.param)


@cache
def _unshare_works() -> bool:
    """What util-linux says of this host, so that a fault of ours is not taken for the host's."""
    program = shutil.which("unshare")
    words = [str(program), "--mount", "--pid", "--ipc", "--net", "--fork", "--mount-proc", "true"]
    return program is not None and subprocess.run(words, check=False, capture_output=True).returncode == 0


@pytest.fixture
def supervisor(isolation: str, tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "run", isolation=isolation) as running:
        yield running


@pytest.fixture
def start(supervisor: Supervisor, tmp_path: Path) -> Start:
    def start(*words: str, **more: Any) -> Child:
        return supervisor.start(spec_in(tmp_path, *words, **more))

    return start


@pytest.fixture
def ask(supervisor: Supervisor) -> Ask:
    def ask(child: Child, verb: str, *, deadline_s: float = 20.0, **body: Any) -> Outcome:
        ticket = supervisor.ask(child, verb, body, deadline_s=deadline_s)
        return supervisor.gather([ticket])[ticket]

    return ask
