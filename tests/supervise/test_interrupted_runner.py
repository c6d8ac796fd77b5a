"""Signals to the runner, and its sudden death: nothing may stay alive, whenever they come."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.core.errors import Interrupted
from bench.supervise import Supervisor

from .conftest import living_descendants, spec_in, wait_until

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

RUNNER = Path(__file__).with_name("runner_program.py")
ROOT = Path(__file__).parents[2]


@contextmanager
def runner(mode: str, run_dir: Path, isolation: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(RUNNER), mode, str(run_dir), isolation],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert any(line.startswith(word) for line in process.stdout)


def nothing_is_left() -> bool:
    return wait_until(lambda: living_descendants() == [])


def kill_at_random_times(run_dir: Path, isolation: str, *, times: int) -> None:
    chance = random.Random(times)
    for _ in range(times):
        with runner("churn", run_dir, isolation) as process:
            read_until(process, chance.choice(["swept", "started", "loose"]))
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
        assert nothing_is_left(), living_descendants()


def test_a_runner_killed_at_random_times_leaves_nothing(isolation, tmp_path):
    kill_at_random_times(tmp_path / "run", isolation, times=6)


@pytest.mark.timeout(300)
def test_a_runner_killed_at_fifty_random_times_leaves_nothing(isolation, tmp_path):
    kill_at_random_times(tmp_path / "run", isolation, times=50)


def churn_until_interrupted(tmp_path: Path, isolation: str, bell: threading.Timer) -> None:
    with Supervisor(tmp_path / "run", isolation=isolation) as supervisor:
        bell.start()
        while True:
            child = supervisor.start(spec_in(tmp_path))
            supervisor.gather([supervisor.ask(child, "echo", {"text": ""}, deadline_s=30)])
            supervisor.stop(child)


def terminate_at_random_times(tmp_path: Path, isolation: str, *, times: int) -> None:
    chance = random.Random(times)
    for _ in range(times):
        bell = threading.Timer(chance.uniform(0, 0.2), os.kill, (os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted) as caught:
            churn_until_interrupted(tmp_path, isolation, bell)
        bell.join()
        assert caught.value.exit_code == 143
        assert living_descendants() == []


def test_a_runner_terminated_at_random_times_leaves_nothing(isolation, tmp_path):
    terminate_at_random_times(tmp_path, isolation, times=12)


@pytest.mark.timeout(300)
def test_a_runner_terminated_at_sixty_random_times_leaves_nothing(isolation, tmp_path):
    terminate_at_random_times(tmp_path, isolation, times=60)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_the_runner_with_its_code_and_all_its_children(tmp_path, number, code):
    with runner("churn", tmp_path / "run", "auto") as process:
        read_until(process, "loose")
        process.send_signal(number)
        process.wait(10)
        assert process.returncode == code
    assert living_descendants() == []


def test_the_first_interrupt_reaches_the_runner_alone_and_lets_it_finish(isolation, tmp_path):
    with runner("patient", tmp_path / "run", isolation) as process:
        read_until(process, "started")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(10)
        assert process.stdout.read() == "Answer(body={'late': True})\n"
        assert process.returncode == 130
    assert living_descendants() == []


def test_the_second_interrupt_kills_at_once(isolation, tmp_path):
    with runner("stubborn", tmp_path / "run", isolation) as process:
        read_until(process, "started")
        os.killpg(process.pid, signal.SIGINT)
        read_until(process, "first")
        again = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10)
        assert time.monotonic() - again < 1.5
        assert process.returncode == 130
    assert living_descendants() == []


def test_the_second_interrupt_ends_a_patient_stop(isolation, tmp_path):
    def interrupt_twice():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    bell = threading.Timer(0.5, interrupt_twice)
    with pytest.raises(Interrupted), Supervisor(tmp_path / "run", isolation=isolation) as supervisor:  # noqa: PT012
        child = supervisor.start(spec_in(tmp_path, "--stay"))
        bell.start()
        started = time.monotonic()
        assert supervisor.stop(child, grace_s=30).status == "cancelled"
        assert time.monotonic() - started < 3
    bell.join()


def test_a_signal_between_two_gatherings_is_not_lost(tmp_path):
    with Supervisor(tmp_path / "run", isolation="group") as supervisor:
        assert supervisor.interrupted_by is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert supervisor.interrupted_by == signal.SIGTERM
        with pytest.raises(Interrupted):
            supervisor.gather([])
        assert supervisor.gather([]) == {}


def test_a_signal_that_nobody_asked_about_is_raised_on_leaving(tmp_path):
    with pytest.raises(Interrupted), Supervisor(tmp_path / "run", isolation="group"):
        os.kill(os.getpid(), signal.SIGTERM)
