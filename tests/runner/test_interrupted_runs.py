"""A run that is killed, interrupted or started twice: finished cells stay, nothing runs on, the rest is resumed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from bench import records

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

_CELLS = 20
_MATRIX = """
schema: 1
name: kill
models:
  m: {null: {service_ms: 0.02}}
variants:
  plain: {source: "null", adapter: "null"}
  twin: {source: "null", adapter: {"null": {seed: 1}}}
axes: {batch: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
measurement: {rounds: 1, max_rounds: 1, blocks: 2, block_min_calls: 3, block_min_s: 0.001, warm_up_min_calls: 1,
              warm_up_min_s: 0.001, warm_up_max_s: 0.02, input_pool: 1}
"""
_ACKNOWLEDGED = re.compile(r"^  (?:ok|invalid)\s+(\S+)", re.MULTILINE)


class Runs:
    """Runs of one matrix through the command line, in a results directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.results = directory / "results"
        self.matrix = directory / "kill.yaml"
        self.matrix.write_text(_MATRIX)
        self.log = directory / "stderr.txt"

    def start(self, log: str = "stderr.txt") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bench", "run", str(self.matrix), "--results", str(self.results)]
        environment = {**os.environ, "DEPLOYBENCH_CACHE": str(self.directory / "cache")}
        with open(self.directory / log, "wb") as stream:
            return subprocess.Popen(
                [*command, "--no-report"],
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env=environment,
                start_new_session=True,
            )

    def acknowledged(self) -> set[str]:
        """Cells that the last run said were recorded."""
        return set(_ACKNOWLEDGED.findall(self.log.read_text()))

    def journal(self) -> Counter[str]:
        """How often each cell has a final record, over all runs."""
        return Counter(
            record.cell_id
            for path in records.run_paths(self.results)
            for record in records.open_run(path).records()[0]
            if records.is_terminal(record)
        )

    def alive(self) -> list[str]:
        """Processes that have to do with these runs."""
        return [
            f"{process.pid} {process.info['cmdline']}"
            for process in psutil.process_iter(["cmdline", "status"])
            if any(str(self.directory) in word for word in process.info["cmdline"] or ())
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def wait_until_nothing_runs(self) -> None:
        deadline = time.monotonic() + 10
        while alive := self.alive():
            assert time.monotonic() < deadline, f"still running: {alive}"
            time.sleep(0.02)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def _kill_and_resume(runs: Runs, kills: int, seed: int) -> int:
    """Kill runs at random moments until `kills` have hit; returns how many runs came to their end in between."""
    rng = random.Random(seed)
    hits = finished = 0
    while hits < kills:
        before = runs.journal() if runs.results.exists() else Counter()
        process = runs.start()
        try:
            process.wait(timeout=rng.uniform(0.2, 3.0))
            finished += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            hits += 1
        runs.wait_until_nothing_runs()
        if runs.results.exists():
            after = runs.journal()
            assert runs.acknowledged() <= set(after), "an acknowledged cell was lost"
            assert before <= after
    return finished


def _finish(runs: Runs) -> None:
    assert runs.start().wait(timeout=120) in {0, 3}


@pytest.mark.timeout(120)
def test_a_killed_run_loses_no_acknowledged_cell_and_is_resumed_where_it_stopped(runs: Runs) -> None:
    _kill_and_resume(runs, kills=3, seed=1)
    _finish(runs)
    last = records.open_run(records.run_paths(runs.results)[-1])
    read, damages = last.records()
    assert len(read) == _CELLS
    assert not damages


@pytest.mark.timeout(900)
def test_fifty_kills_lose_nothing_leave_nothing_and_repeat_nothing(runs: Runs) -> None:
    _kill_and_resume(runs, kills=50, seed=2)
    _finish(runs)
    for path in records.run_paths(runs.results):
        run = records.open_run(path)
        lines = records.read(run.journal_path)[0]
        assert len(lines) == len({record.cell_id for record in lines}) == _CELLS, "a recorded cell was measured again"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_with_its_cells_cancelled_and_resumable(
    runs: Runs, number: signal.Signals, code: int
) -> None:
    process = runs.start()
    _wait_for_records(runs, 4)
    process.send_signal(number)
    assert process.wait(timeout=20) == code
    runs.wait_until_nothing_runs()
    run = records.open_run(records.run_paths(runs.results)[-1])
    statuses = Counter(record.outcome.status for record in run.records()[0])
    assert statuses["ok"] >= 4
    assert set(statuses) <= {"ok", "invalid", "cancelled"}
    assert runs.acknowledged() <= {record.cell_id for record in run.records()[0]}
    _finish(runs)
    assert len(records.run_paths(runs.results)) == 1, "the run was not resumed"
    assert run.is_complete()


def test_a_second_run_of_the_same_directory_is_told_who_holds_it(runs: Runs) -> None:
    process = runs.start()
    try:
        _wait_for_records(runs, 2)
        second = runs.start(log="second.txt")
        assert second.wait(timeout=20) == 6
        told = (runs.directory / "second.txt").read_text()
        assert "holds the lock" in told
        assert str(process.pid) in told
    finally:
        process.kill()
        process.wait()
    runs.wait_until_nothing_runs()
    _finish(runs)


def test_what_is_edited_while_a_run_goes_on_does_not_change_it(runs: Runs) -> None:
    process = runs.start()
    _wait_for_records(runs, 2)
    runs.matrix.write_text("schema: 1\nname: other\nmodels: {}\n")
    assert process.wait(timeout=60) in {0, 3}
    run = records.open_run(records.run_paths(runs.results)[-1])
    assert run.manifest.matrix_text == _MATRIX
    assert run.is_complete()


def _wait_for_records(runs: Runs, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(runs.acknowledged()) < count:
        assert time.monotonic() < deadline, runs.log.read_text()
        time.sleep(0.02)
