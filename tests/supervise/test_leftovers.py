"""What a killed run left alive is ended by the next one; whatever merely has the same number is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.supervise import Supervisor

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
NONCE = "0123456789abcdef"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the mark of a child."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(30)"],
        env={"DEPLOYBENCH_NONCE": NONCE},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def now_ticks() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def swept_by_next_run(run_dir: Path, *entries: object) -> tuple[str, ...]:
    run_dir.mkdir()
    (run_dir / "alive.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    with Supervisor(run_dir, isolation="group") as supervisor:
        return supervisor.swept


def test_a_leftover_is_ended_and_named(tmp_path, bystander):
    entry = {"start": NONCE, "name": "cell", "boot_id": BOOT_ID, "since_ticks": 0}
    assert swept_by_next_run(tmp_path / "run", entry) == ("cell",)
    assert bystander.wait(5) == -9
    assert not (tmp_path / "run" / "alive.jsonl").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"start": "fedcba9876543210", "pid": "its own"},  # the right number, the wrong mark
        {"since_ticks": "now"},  # it is older than the line
        {"boot_id": "another boot"},
    ],
)
def test_a_process_that_is_not_the_one_in_the_journal_lives_on(tmp_path, bystander, change):
    known = {"now": now_ticks() + 100, "its own": bystander.pid}
    entry = {"start": NONCE, "name": "cell", "boot_id": BOOT_ID, "since_ticks": 0}
    entry |= {key: known.get(value, value) for key, value in change.items()}
    assert swept_by_next_run(tmp_path / "run", entry) == ()
    assert bystander.poll() is None


def test_a_child_that_ended_is_not_looked_for(tmp_path, bystander):
    entry = {"start": NONCE, "name": "cell", "boot_id": BOOT_ID, "since_ticks": 0}
    assert swept_by_next_run(tmp_path / "run", entry, {"end": NONCE}) == ()
    assert bystander.poll() is None


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path):
    assert swept_by_next_run(tmp_path / "run", {"start": NONCE}, 5, {"end": "x"}) == ()
