"""Live disturbances on real processes: stopped half of the time, beside processor hogs, scaled busy-waits."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from bench.core.block import Block, Counters
from bench.core.cell import Measurement
from bench.measure.comparison import compare, pair_log_ratio
from bench.measure.flags import Conditions, judge
from bench.measure.schedule import block_orders
from bench.measure.statistics import summarise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_WORKER = """
import json, sys, time
from dataclasses import asdict
from bench.measure.loop import time_calls
from bench.monitor.counters import CounterReader

def spin():  # a fixed amount of work
    for _ in range(20_000):
        pass

def wait(duration_ns):  # a fixed time
    def call():
        end_ns = time.perf_counter_ns() + duration_ns
        while time.perf_counter_ns() < end_ns:
            pass
    return call

reader = CounterReader()
call = spin if sys.argv[1] == "spin" else wait(int(sys.argv[1]))
time_calls(call, 50)
print("ready", flush=True)
for line in sys.stdin:
    reader.start()
    started_ns = time.perf_counter_ns()
    latencies_ns = time_calls(call, int(line))
    wall_ns = time.perf_counter_ns() - started_ns
    print(json.dumps({"latencies_ns": latencies_ns, "wall_ns": wall_ns, **asdict(reader.stop())}), flush=True)
"""
#: A virtual processor may have two speeds, 7 % apart, as its twin on the host is idle or not; nothing here can tell.
_TWO_SPEEDS = 0.10
_ATTEMPTS = 3
_HOG = "while True: pass"
_STOPPER = """
import os, signal, sys, time
due = time.monotonic()
while True:
    for number in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(int(sys.argv[1]), number)
        due += 0.05
        time.sleep(max(0, due - time.monotonic()))
"""
_CONDITIONS = Conditions(measurement=Measurement(), threads=1, effective_cpus=1, machine_cpus=os.cpu_count() or 1)


class _Worker:
    """A fresh process that times blocks of calls on command."""

    def __init__(self, work: str, cpu: int | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if cpu is not None:
            os.sched_setaffinity(self._process.pid, {cpu})
        assert self._read() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.send(signal.SIGCONT)
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def start_block(self, calls: int) -> None:
        assert self._process.stdin is not None
        print(calls, file=self._process.stdin, flush=True)

    def finish_block(self, number: int, index: int) -> Block:
        answer = json.loads(self._read())
        latencies_ns, wall_ns = answer.pop("latencies_ns"), answer.pop("wall_ns")
        return Block(
            round=number,
            index=index,
            latencies_ns=tuple(latencies_ns),
            settling_calls=3,
            wall_ns=wall_ns,
            counters=Counters(**answer),
        )

    def block(self, calls: int, number: int = 0, index: int = 0) -> Block:
        self.start_block(calls)
        return self.finish_block(number, index)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def _hogs(count: int, cpu: int) -> Iterator[Callable[[signal.Signals], None]]:
    """Endless loops on one processor; gives a function that sends them all a signal."""
    processes = [subprocess.Popen([sys.executable, "-c", _HOG]) for _ in range(count)]

    def send(number: signal.Signals) -> None:
        for process in processes:
            process.send_signal(number)

    try:
        for process in processes:
            os.sched_setaffinity(process.pid, {cpu})
        time.sleep(0.2)  # until they spin
        yield send
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _stopped_half_of_the_time(worker: _Worker) -> Iterator[None]:
    """SIGSTOP and SIGCONT in turn, 50 ms each, from a process of its own so that the caller may wait."""
    process = subprocess.Popen([sys.executable, "-c", _STOPPER, str(worker.pid)])
    try:
        yield
    finally:
        process.kill()
        process.wait()
        worker.send(signal.SIGCONT)


def _share(blocks: Sequence[Block], counter: str) -> float:
    return sum(getattr(block.counters, counter) for block in blocks) / sum(block.wall_ns for block in blocks)


def _p25_ratio(quiet: Sequence[Block], disturbed: Sequence[Block]) -> float:
    """Of blocks that took turns: even undisturbed, the speed of a virtual machine drifts within seconds."""
    return math.exp(pair_log_ratio(quiet, disturbed))


def _inconclusive_when_loaded(blocks: Sequence[Block], limit: float) -> None:
    share = _share(blocks, "run_delay_ns")
    if share > limit:
        pytest.skip(f"inconclusive: this machine is busy, the process waited {share:.0%} of the time for a processor")


def _flags(blocks: Sequence[Block]) -> dict[str, Any]:
    rounds = [list(blocks)]
    return {flag.name: flag for flag in judge(rounds, summarise(rounds, batch=1), _CONDITIONS)}


def _some_cpu() -> int:
    return max(os.sched_getaffinity(0))


def _stop_half_of_the_time_and_judge() -> None:
    quiet, stopped = [], []
    with _Worker("spin") as worker:
        for index in range(5):
            quiet.append(worker.block(1000, index=index))
            with _stopped_half_of_the_time(worker):
                stopped.append(worker.block(1000, index=index))
    _inconclusive_when_loaded(quiet, 0.2)
    assert "noisy-off-cpu" in _flags(stopped)
    assert "noisy-off-cpu" not in _flags(quiet)
    assert _p25_ratio(quiet, stopped) == pytest.approx(1, abs=_TWO_SPEEDS)
    _inconclusive_when_loaded([*quiet, *stopped], 0.05)
    off_cpu = 1 - _share(stopped, "cpu_ns") - _share(stopped, "run_delay_ns")
    assert off_cpu == pytest.approx(0.50, abs=0.05)
    rate_ratios = [calm.wall_ns / stop.wall_ns for calm, stop in zip(quiet, stopped, strict=True)]
    assert float(np.median(rate_ratios)) == pytest.approx(0.50, abs=0.07)


def test_a_process_stopped_half_of_the_time_runs_at_half_the_rate_and_says_so() -> None:
    for attempt in range(_ATTEMPTS):
        try:
            _stop_half_of_the_time_and_judge()
        except AssertionError:  # a hypervisor that pauses the whole machine stops the quiet side too
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def test_beside_three_hogs_on_its_processor_the_flags_fire_and_p25_stands() -> None:
    cpu = _some_cpu()
    quiet, crowded = [], []
    with _Worker("spin", cpu) as worker, _hogs(3, cpu) as send:
        for index in range(5):
            send(signal.SIGSTOP)
            quiet.append(worker.block(300, index=index))
            send(signal.SIGCONT)
            crowded.append(worker.block(300, index=index))
    flags = _flags(crowded)
    assert {"noisy-contention", "invalid-contention"} <= flags.keys()
    assert "mean_ms" in flags["invalid-contention"].affects
    assert "p25_ms" not in flags["invalid-contention"].affects
    _inconclusive_when_loaded(quiet, 0.2)
    assert _share(crowded, "run_delay_ns") == pytest.approx(0.75, abs=0.15)
    assert _p25_ratio(quiet, crowded) == pytest.approx(1, abs=_TWO_SPEEDS)


def _pair(durations_ns: Sequence[int], number: int) -> list[list[Block]]:
    """Ten blocks of both busy-waits in turn, in two fresh processes."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(str(duration_ns))) for duration_ns in durations_ns]
        blocks: list[list[Block]] = [[], []]
        for index, order in enumerate(block_orders(2, 10, seed=number)):
            for side in order:
                blocks[side].append(workers[side].block(25, number, index))
    return blocks


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "same"), (1.03, "changed"), (1.10, "changed")])
def test_busy_waits_of_known_length_get_the_right_verdict_beside_hogs(
    factor: float, expected: str, until_decided: Callable[[Callable[[int, float], str]], str]
) -> None:
    durations_ns = (500_000, round(500_000 * factor))
    sides: tuple[list[list[Block]], list[list[Block]]] = ([], [])

    def look_at(rounds: int, confidence: float) -> str:
        for number in range(len(sides[0]), rounds):
            for side, blocks in zip(sides, _pair(durations_ns, number), strict=True):
                side.append(blocks)
        measurement = replace(Measurement(), rounds=rounds)
        return compare(*sides, reference_id="r", measurement=measurement, look=1, looks_total=3).verdict

    with _hogs(2, _some_cpu()):
        assert until_decided(look_at) == expected
