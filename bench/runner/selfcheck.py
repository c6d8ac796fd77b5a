"""What this machine can resolve today, and whether the harness still tells the truth on it, in under a minute.

Everything goes through the same supervised workers, rounds and statistics as a run; only the models are null models,
whose times are known (busy waits) or whose work is fixed (matrix products).
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.core.artifact import Options
from bench.core.block import Block
from bench.core.cache import cache_root
from bench.core.cell import Limits, Measurement
from bench.core.errors import StoreError
from bench.core.files import write_atomic
from bench.environment import Environment, fingerprint
from bench.measure.flags import Conditions, judge
from bench.measure.percentiles import block_percentile_ns
from bench.measure.resolution import Resolution, TimerCost, resolution, timer_cost
from bench.measure.statistics import summarise
from bench.monitor.counters import CounterReader
from bench.supervise import Child, ProcessSpec, Supervisor, worker_environment

from .crew import worker_variables
from .stand import Stand

Status = Literal["pass", "fail", "inconclusive"]

_TIMER_REPORTS_NS = 120
_TIMER_COSTS_NS = 400
_WAIT_TOLERANCE_RATIO = 0.01
_CROWDED_TOLERANCE_RATIO = 0.05
#: Above this share of time spent waiting for a processor a number says more about the neighbours than about us.
_TOO_LOADED_SHARE = 0.20
_CONTENTION_FLAGS = {"noisy-contention", "noisy-pressure"}
_CROWD_CPUS = 2
_HOGS_PER_CPU = 2
#: A matrix streamed through is this much larger than the last cache, within what a call and a machine can bear.
_TIMES_LAST_CACHE = 2
_STREAMED_BYTES = (16 << 20, 256 << 20)
_UNKNOWN_CACHE_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """How much to measure. The matrix of `in_cache_size` rows takes about 0.5 ms to square; `streamed_bytes` None
    stands for twice the last cache."""

    rounds: int = 5
    blocks: int = 10
    block_s: float = 0.05
    warm_up_s: float = 0.15
    waits_ms: tuple[float, ...] = (0.2, 1.0, 10.0)
    in_cache_size: int = 320
    streamed_bytes: int | None = None

    def measurement(self, blocks: int, min_calls: int = 20) -> Measurement:
        """So many blocks per worker, of at least `block_s` and `min_calls`."""
        return Measurement(
            blocks=blocks, block_min_calls=min_calls, block_min_s=self.block_s, warm_up_min_s=self.warm_up_s
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was tried: `inconclusive` says that this machine, now, cannot show it either way."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfCheck:
    """All checks, and by kind of model what pairs of equal processes can resolve."""

    environment_id: str
    started_at: str  # ISO 8601, a label
    duration_s: float
    load_average: tuple[float, ...]  # before it began
    checks: tuple[Check, ...]
    resolutions: dict[str, Resolution]

    @property
    def passed(self) -> bool:
        """Whether nothing failed; a loaded machine is no failure."""
        return all(check.status != "fail" for check in self.checks)


def selfcheck(amount: Amount | None = None) -> SelfCheck:
    """Run all checks; HostError when workers cannot be run here, Interrupted when a signal came."""
    amount = amount or Amount()
    started_s, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="deploybench-selfcheck-") as name:
        directory = Path(name)
        environment = fingerprint(worker_variables(directory))
        with Supervisor(directory) as supervisor:
            stand = Stand(supervisor, directory)
            checks = [_try_timer(), *_try_waits(stand, amount)]
            resolutions = {}
            for kind, options in _works(amount, environment).items():
                resolutions[kind], check = _try_equal_pairs(stand, amount, kind, options)
                checks.append(check)
            checks.append(_try_crowd(stand, amount))
    return SelfCheck(
        environment_id=environment.id,
        started_at=started_at,
        duration_s=time.monotonic() - started_s,
        load_average=environment.moment.load_average,
        checks=tuple(checks),
        resolutions=resolutions,
    )


def keep(result: SelfCheck) -> Path:
    """Store a result as the last one of its environment; returns its path."""
    path = _path(result.environment_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(result)))
    return path


def last(environment_id: str) -> dict[str, Any] | None:
    """The last stored result of an environment, None when there is none; StoreError when it is damaged."""
    path = _path(environment_id)
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", hint="run `bench selfcheck` again") from error
    if not isinstance(stored, dict):
        raise StoreError(f"{path} is damaged: no object", hint="run `bench selfcheck` again")
    return stored


def _path(environment_id: str) -> Path:
    return cache_root() / "selfcheck" / f"{environment_id}.json"


def _try_timer() -> Check:
    counters = CounterReader()
    counters.start()
    started_ns = time.perf_counter_ns()
    costs = [timer_cost(2000) for _ in range(20)]
    waiting = counters.stop().run_delay_ns / (time.perf_counter_ns() - started_ns)
    counters.close()
    best = TimerCost(reported_ns=min(cost.reported_ns for cost in costs), loop_ns=min(cost.loop_ns for cost in costs))
    return judge_timer(best, waiting)


def judge_timer(cost: TimerCost, waiting_share: float) -> Check:
    """Whether a call that does nothing reports and costs as little as it may."""
    good = cost.reported_ns <= _TIMER_REPORTS_NS and cost.loop_ns <= _TIMER_COSTS_NS
    text = (
        f"a call that does nothing reports {cost.reported_ns:.0f} ns (at most {_TIMER_REPORTS_NS})"
        f" and costs {cost.loop_ns:.0f} ns (at most {_TIMER_COSTS_NS})"
    )
    return _check("timer", text, waiting_share, good=good)


def _try_waits(stand: Stand, amount: Amount) -> list[Check]:
    models: dict[str, Options] = {f"{wait:g} ms": (("service_ms", wait),) for wait in amount.waits_ms}
    measured = stand.run(models, amount.measurement(5))
    return [judge_wait(wait, measured[f"{wait:g} ms"]) for wait in amount.waits_ms]


def judge_wait(wait_ms: float, blocks: Sequence[Block]) -> Check:
    """Whether a busy wait is measured as long as it is: p25 never below it, and at most 1 % above."""
    measured_ms = _p25_ns(blocks) / 1e6
    good = wait_ms <= measured_ms <= wait_ms * (1 + _WAIT_TOLERANCE_RATIO)
    text = f"measured as {measured_ms:.4g} ms on p25 ({measured_ms / wait_ms - 1:+.2%}, tolerance 1 %)"
    return _check(f"busy wait of {wait_ms:g} ms", text, waiting_share(blocks), good=good)


def _works(amount: Amount, environment: Environment) -> dict[str, Options]:
    """Models that compute: one within the cache, one that streams more than the cache holds through each call."""
    streamed_bytes = amount.streamed_bytes or _streamed_bytes(environment)
    return {
        "in cache": _in_cache(amount),
        "memory-bound": (("matmul_columns", 1), ("matmul_size", math.isqrt(streamed_bytes // 4))),
    }


def _in_cache(amount: Amount) -> Options:
    return (("matmul_columns", amount.in_cache_size), ("matmul_size", amount.in_cache_size))


def _streamed_bytes(environment: Environment) -> int:
    sizes = [
        int(size[:-1]) << 10 for _, size in environment.processor.caches if size[:-1].isdigit() and size[-1] == "K"
    ]
    low, high = _STREAMED_BYTES
    return min(max(low, _TIMES_LAST_CACHE * max(sizes, default=_UNKNOWN_CACHE_BYTES)), high)


def _try_equal_pairs(stand: Stand, amount: Amount, kind: str, options: Options) -> tuple[Resolution, Check]:
    """Rounds of two fresh workers that do the same."""
    pairs = []
    for _ in range(amount.rounds):
        measured = stand.run({"a": options, "b": options}, amount.measurement(amount.blocks, min_calls=5))
        pairs.append((measured["a"], measured["b"]))
    found = resolution(pairs)
    return found, judge_resolution(
        kind, found, waiting_share([block for pair in pairs for side in pair for block in side])
    )


def judge_resolution(kind: str, found: Resolution, waiting: float) -> Check:
    """A machine that cannot tell 5 % from nothing makes most verdicts inconclusive; that is no fault of ours."""
    enough = found.p25_ratio is not None and found.p25_ratio <= Measurement().equivalence_ratio
    advice = "" if enough else f"; too coarse to call such variants the same ({_waited(waiting)})"
    return Check(
        name=f"equal pairs, {kind}", status="pass" if enough else "inconclusive", text=f"{found.sentence}{advice}"
    )


def _try_crowd(stand: Stand, amount: Amount) -> Check:
    """One worker, alone for the first half of its blocks, then beside hogs on the same processors."""
    half = max(3, amount.blocks // 2)
    cpu_ids = tuple(sorted(os.sched_getaffinity(0)))[:_CROWD_CPUS]
    done, hogs = 0, list[Child]()

    def between_blocks() -> None:
        nonlocal done
        done += 1
        if done == half:
            hogs.extend(_start_hog(stand, cpu_ids, number) for number in range(_HOGS_PER_CPU * len(cpu_ids)))

    try:
        measured = stand.run(
            {"crowded": _in_cache(amount)},
            amount.measurement(2 * half),
            limits=Limits(cpu_ids=cpu_ids),
            between_blocks=between_blocks,
        )
    finally:
        stand.supervisor.stop_all(hogs, grace_s=0)
    quiet, crowded = measured["crowded"][:half], measured["crowded"][half:]
    return judge_crowd(quiet, crowded, cpus=len(cpu_ids))


def _start_hog(stand: Stand, cpu_ids: tuple[int, ...], number: int) -> Child:
    return stand.supervisor.start(
        ProcessSpec(
            name=f"hog-{number}",
            argv=(sys.executable, "-S", "-c", "while True: pass"),
            environment=worker_environment(os.environ, 1, fallback_home=stand.directory / "home"),
            working_dir=stand.directory,
            log_path=stand.directory / "logs" / f"hog-{number}.log",
            cpu_ids=cpu_ids,
        )
    )


def judge_crowd(quiet: Sequence[Block], crowded: Sequence[Block], *, cpus: int) -> Check:
    """The contention must be seen; that p25 holds depends on what the processors share, so it is told, not demanded."""
    conditions = Conditions(measurement=Measurement(), threads=1, effective_cpus=cpus, machine_cpus=os.cpu_count() or 1)
    raised = {flag.name for flag in judge([crowded], summarise([crowded], batch=1), conditions)}
    moved = _p25_ns(crowded) / _p25_ns(quiet) - 1
    text = f"the worker waited {waiting_share(crowded):.0%} of the time, p25 moved by {moved:+.1%} (tolerance 5 %)"
    name = f"beside {_HOGS_PER_CPU * cpus} busy processes"
    if not raised & _CONTENTION_FLAGS:
        return Check(name=name, status="fail", text=f"{text}; no contention flag was raised")
    if abs(moved) > _CROWDED_TOLERANCE_RATIO:
        return Check(
            name=name,
            status="inconclusive",
            text=f"{text}; the flag was raised, but the processors share a clock, a core or a cache,"
            f" or the machine was not quiet before ({_waited(waiting_share(quiet))})",
        )
    return Check(name=name, status="pass", text=f"{text}; the flag was raised")


def waiting_share(blocks: Sequence[Block]) -> float:
    """Share of the wall time of single-threaded blocks spent ready to run but waiting for a processor."""
    return sum(block.counters.run_delay_ns for block in blocks) / max(1, sum(block.wall_ns for block in blocks))


def _p25_ns(blocks: Sequence[Block]) -> float:
    return statistics.median(block_percentile_ns(block, 25) for block in blocks)


def _check(name: str, text: str, waiting: float, *, good: bool) -> Check:
    if good:
        return Check(name=name, status="pass", text=text)
    if waiting > _TOO_LOADED_SHARE:
        return Check(name=name, status="inconclusive", text=f"{text}; machine too loaded: {_waited(waiting)}")
    return Check(name=name, status="fail", text=text)


def _waited(waiting: float) -> str:
    return f"workers waited {waiting:.0%} of the time for a processor"
