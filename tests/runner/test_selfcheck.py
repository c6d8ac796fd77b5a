"""The self-check on a small scale: what it measures, what it says when something is wrong, what it stores."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.cli import main as command_line
from bench.core.block import Block, Counters
from bench.core.errors import HostError, StoreError
from bench.measure.resolution import Resolution, TimerCost
from bench.runner import selfcheck
from bench.runner.selfcheck import Amount, Check, SelfCheck
from bench.runner.stand import Stand
from bench.supervise import Supervisor

TINY = Amount(
    rounds=2, blocks=6, block_s=0.005, warm_up_s=0.01, waits_ms=(0.2, 1.0), in_cache_size=64, streamed_bytes=1 << 20
)
MS = 1_000_000


def blocks_of(latency_ms: float, *, waiting_share: float = 0.0, count: int = 6) -> list[Block]:
    latencies_ns = (round(latency_ms * MS),) * 30
    wall_ns = round(sum(latencies_ns) / (1 - waiting_share))
    counters = Counters(cpu_ns=sum(latencies_ns), run_delay_ns=wall_ns - sum(latencies_ns), threads=1)
    return [
        Block(round=0, index=index, latencies_ns=latencies_ns, settling_calls=3, wall_ns=wall_ns, counters=counters)
        for index in range(count)
    ]


def result_of(checks: Sequence[Check], environment_id: str = "abc") -> SelfCheck:
    found = Resolution(pairs=5, p25_ratio=0.011, p50_ratio=0.02, mean_ratio=0.06)
    return SelfCheck(
        environment_id=environment_id,
        started_at="2026-01-01T00:00:00+00:00",
        duration_s=30.0,
        load_average=(0.1, 0.2, 0.3),
        checks=tuple(checks),
        resolutions={"in cache": found},
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_all_checks_run_through_real_workers_and_leave_nothing() -> None:
    result = selfcheck.selfcheck(TINY)
    assert [check.name for check in result.checks] == [
        "timer",
        "busy wait of 0.2 ms",
        "busy wait of 1 ms",
        "equal pairs, in cache",
        "equal pairs, memory-bound",
        f"beside {2 * min(2, len(os.sched_getaffinity(0)))} busy processes",
    ]
    assert all(check.status != "fail" for check in result.checks[3:5])
    assert all(found.pairs == 2 and found.p25_ratio for found in result.resolutions.values())
    assert "the worker waited" in result.checks[-1].text


def test_a_worker_that_dies_ends_the_check_with_its_reason(tmp_path: Path) -> None:
    options = (("fault", "exit"), ("fault_call", 5), ("service_ms", 0.1))
    with Supervisor(tmp_path) as supervisor, pytest.raises(HostError, match="worker for wait ended"):
        Stand(supervisor, tmp_path).run({"wait": options}, TINY.measurement(2))


def test_a_timer_that_costs_too_much_fails_unless_the_machine_was_busy() -> None:
    assert selfcheck.judge_timer(TimerCost(reported_ns=60, loop_ns=150), 0.0).status == "pass"
    assert selfcheck.judge_timer(TimerCost(reported_ns=121, loop_ns=150), 0.0).status == "fail"
    assert selfcheck.judge_timer(TimerCost(reported_ns=60, loop_ns=401), 0.0).status == "fail"
    assert selfcheck.judge_timer(TimerCost(reported_ns=60, loop_ns=401), 0.3).status == "inconclusive"


@pytest.mark.parametrize(
    ("measured_ms", "waiting_share", "status"),
    [
        (1.0, 0.0, "pass"),
        (1.0099, 0.0, "pass"),
        (1.011, 0.0, "fail"),
        (0.999, 0.0, "fail"),
        (1.5, 0.25, "inconclusive"),
        (1.0, 0.9, "pass"),
    ],
)
def test_a_wait_is_right_within_one_percent_and_never_short(
    measured_ms: float, waiting_share: float, status: str
) -> None:
    assert selfcheck.judge_wait(1.0, blocks_of(measured_ms, waiting_share=waiting_share)).status == status


def test_a_machine_that_cannot_tell_five_percent_is_no_failure() -> None:
    fine = Resolution(pairs=5, p25_ratio=0.011, p50_ratio=0.02, mean_ratio=0.06)
    coarse = Resolution(pairs=5, p25_ratio=0.07, p50_ratio=0.08, mean_ratio=0.09)
    check = selfcheck.judge_resolution("in cache", fine, 0.0)
    assert check.status == "pass"
    assert check.text == "this machine can resolve 1.1% on p25, 6.0% on the mean today"
    assert selfcheck.judge_resolution("in cache", coarse, 0.4).status == "inconclusive"


def test_contention_that_nobody_flags_is_a_failure() -> None:
    quiet = blocks_of(0.5)
    assert selfcheck.judge_crowd(quiet, blocks_of(0.5, waiting_share=0.6), cpus=2).status == "pass"
    assert selfcheck.judge_crowd(quiet, blocks_of(0.5), cpus=2).status == "fail"
    moved = selfcheck.judge_crowd(quiet, blocks_of(0.53, waiting_share=0.6), cpus=2)
    assert moved.status == "inconclusive"
    assert "+6.0%" in moved.text


def test_what_is_kept_is_found_again_by_its_environment(cache: Path) -> None:
    assert selfcheck.last("abc") is None
    path = selfcheck.keep(result_of([Check(name="timer", status="pass", text="well")]))
    assert path == cache / "selfcheck" / "abc.json"
    stored = selfcheck.last("abc")
    assert stored is not None
    assert stored["resolutions"]["in cache"]["p25_ratio"] == 0.011
    assert selfcheck.last("other") is None


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_result_is_named(cache: Path, content: str) -> None:
    path = selfcheck.keep(result_of([]))
    path.write_text(content)
    with pytest.raises(StoreError, match="is damaged"):
        selfcheck.last("abc")


@pytest.mark.parametrize(("status", "code"), [("pass", 0), ("inconclusive", 0), ("fail", 3)])
def test_the_command_prints_every_check_and_fails_only_when_one_failed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    checks = [Check(name="timer", status="pass", text="well"), Check(name="wait", status=status, text="seen")]  # type: ignore[arg-type]
    monkeypatch.setattr(selfcheck, "selfcheck", lambda: result_of(checks))
    assert command_line.main(["selfcheck"]) == code
    printed = capsys.readouterr().out
    assert "timer" in printed
    assert f"{status:12}  wait" in printed
    assert command_line.main(["selfcheck", "--json"]) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown["passed"] is (code == 0)
    assert shown["path"] == str(cache / "selfcheck" / "abc.json")
