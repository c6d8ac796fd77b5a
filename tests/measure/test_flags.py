"""Flags: each disturbance is named, taints what it spoils and nothing more, and a quiet cell has none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.block import Block, Counters
from bench.core.cell import Measurement
from bench.core.results import Flag, Statistics
from bench.measure.flags import FLAGS, Conditions, distinct_input_ratio, invalid_rule, judge, void
from bench.measure.statistics import summarise

Rounds = Callable[..., list[list[Block]]]

_CALLS, _CALL_NS = 70, 700_000
_WALL_NS = _CALLS * _CALL_NS
_CONDITIONS = Conditions(measurement=Measurement(), threads=1, effective_cpus=2, machine_cpus=2)


@pytest.fixture
def judged(rounds_of: Rounds) -> Callable[..., dict[str, Flag]]:
    """Flags by name of five quiet rounds whose blocks have the given counters, as shares of the wall time or counts."""

    def judge_cell(conditions: Conditions = _CONDITIONS, latencies: Any = None, **counters: float) -> dict[str, Flag]:
        if latencies is None:
            latencies = np.random.default_rng(0).normal(_CALL_NS, 2000, (5, 10, _CALLS))
        shares = {"cpu_ns": 1 - counters.get("run_delay_ns", 0), **counters}
        counts = {name: round(value * _WALL_NS) if name.endswith("_ns") else value for name, value in shares.items()}
        rounds = [
            [replace(block, wall_ns=_WALL_NS, counters=Counters(**counts)) for block in blocks]
            for blocks in rounds_of(latencies)
        ]
        return {flag.name: flag for flag in judge(rounds, summarise(rounds, batch=1), conditions)}

    return judge_cell


Judged = Callable[..., dict[str, Flag]]


def test_a_quiet_cell_has_no_flag(judged: Judged) -> None:
    assert judged(cpu_ns=0.995, run_delay_ns=0.005) == {}


def test_flags_name_only_statistics_that_exist(judged: Judged) -> None:
    known = {*Statistics.__dataclass_fields__, "ratio", "p50_ratio"}
    for flag in judged(run_delay_ns=0.75, major_faults=3, involuntary_switches=500, steal_ns=0.2).values():
        assert flag.name in FLAGS
        assert set(flag.affects) <= known


@pytest.mark.parametrize(
    ("share", "names", "p50_tainted"),
    [
        (0.008, set(), False),
        (0.03, {"noisy-contention"}, False),
        (0.10, {"noisy-contention"}, True),
        (0.75, {"noisy-contention", "invalid-contention"}, True),
    ],
)
def test_waiting_for_a_processor_taints_more_the_longer_it_is(
    share: float, names: set[str], p50_tainted: bool, judged: Judged
) -> None:
    flags = judged(run_delay_ns=share)
    assert flags.keys() == names
    tainted = {name for flag in flags.values() for name in flag.affects}
    assert ("p50_ms" in tainted) is p50_tainted
    assert "p25_ms" not in tainted
    assert invalid_rule(tuple(flags.values())) is None  # p25 and the ratio still stand


def test_delays_of_many_threads_are_shared_among_those_that_wanted_to_run(judged: Judged) -> None:
    four = replace(_CONDITIONS, threads=4, effective_cpus=4, machine_cpus=4)
    assert judged(four, cpu_ns=3.98, run_delay_ns=0.02) == {}
    flag = judged(four, cpu_ns=3.8, run_delay_ns=0.2)["noisy-contention"]
    assert "5.0%" in flag.text


def test_a_cell_that_mostly_sleeps_is_not_called_contended_for_its_short_waits(judged: Judged) -> None:
    assert judged(cpu_ns=0.01, run_delay_ns=0.003, voluntary_switches=_CALLS) == {}


def test_the_advice_fits_a_cell_with_more_threads_than_processors(judged: Judged) -> None:
    flags = judged(replace(_CONDITIONS, threads=8), cpu_ns=2.0, run_delay_ns=2.0)
    assert "use fewer threads" in flags["noisy-contention"].text
    assert "at most 2 threads" in flags["noisy-oversubscribed"].text
    assert "stop what else runs" in judged(run_delay_ns=0.1)["noisy-contention"].text


def test_pressure_of_the_machine_stands_in_where_the_kernel_tells_no_waiting_times(judged: Judged) -> None:
    assert judged(cpu_ns=0, pressure_ns=0.5).keys() == {"noisy-pressure"}
    assert judged(pressure_ns=0.5) == {}


def test_stolen_time_is_a_share_of_the_whole_machine(judged: Judged) -> None:
    assert judged(steal_ns=0.02).keys() == {"noisy-steal"}
    assert judged(replace(_CONDITIONS, machine_cpus=64), steal_ns=0.02) == {}


def test_time_off_the_processor_is_a_flag_only_where_the_model_does_not_sleep_by_itself(judged: Judged) -> None:
    stopped = judged(cpu_ns=0.5, run_delay_ns=0.0, voluntary_switches=2)
    assert stopped.keys() == {"noisy-off-cpu"}
    assert "50.0%" in stopped["noisy-off-cpu"].text
    assert "p25_ms" not in stopped["noisy-off-cpu"].affects
    assert judged(cpu_ns=0.5, voluntary_switches=_CALLS) == {}
    assert judged(replace(_CONDITIONS, threads=2), cpu_ns=0.5, voluntary_switches=2) == {}


def test_throttling_is_expected_under_a_quota_and_noise_without(judged: Judged) -> None:
    assert judged(throttled_ns=0.1).keys() == {"noisy-throttled"}
    quota = replace(_CONDITIONS, cpu_quota_cores=0.5, effective_cpus=1)
    assert judged(quota, cpu_ns=0.5, throttled_ns=0.5, voluntary_switches=_CALLS) == {}


def test_a_quota_that_never_bites_although_it_is_exceeded_invalidates_the_cell(judged: Judged) -> None:
    flags = judged(replace(_CONDITIONS, cpu_quota_cores=0.5, effective_cpus=1))
    assert flags.keys() == {"invalid-limit-not-applied"}
    assert "1.00 processors under a quota of 0.5" in str(invalid_rule(tuple(flags.values())))


def test_being_pushed_off_the_processor_often_and_reading_pages_are_flags(judged: Judged) -> None:
    assert judged(involuntary_switches=2) == {}
    assert judged(involuntary_switches=3).keys() == {"noisy-involuntary-switches"}  # 61 per second
    assert judged(major_faults=1).keys() == {"noisy-major-faults"}


def test_processes_that_differ_make_a_wide_interval_and_the_advice_fits_the_budget(judged: Judged) -> None:
    rng = np.random.default_rng(1)
    latencies = rng.normal(1, 0.002, (5, 10, _CALLS)) * np.exp(rng.normal(0, 0.08, (5, 1, 1))) * _CALL_NS
    assert "measure more rounds" in judged(latencies=latencies)["noisy-wide-interval"].text
    spent = replace(_CONDITIONS, measurement=Measurement(rounds=5, max_rounds=5))
    flag = judged(spent, latencies=latencies)["noisy-wide-interval"]
    assert "max_rounds" in flag.text
    assert flag.affects == ("p25_ms", "p50_ms")


def test_blocks_far_off_their_process_are_outliers(judged: Judged) -> None:
    latencies = np.random.default_rng(2).normal(_CALL_NS, 2000, (5, 10, _CALLS))
    latencies[:3, 4] *= 1.5
    assert judged(latencies=latencies).keys() == {"noisy-outlier-blocks"}
    latencies[:, :] = latencies[0, 0]
    latencies[0, 0] *= 1.5  # one of fifty
    assert judged(latencies=latencies) == {}


@pytest.mark.parametrize(("factor", "word"), [(1.2, "slower"), (None, "never settles")])
def test_a_cell_that_slows_down_or_never_settles_says_so(factor: float | None, word: str, judged: Judged) -> None:
    index = np.arange(20)
    shape = np.where(index < 8, 1.0, factor) if factor else 1.3 - 0.3 * index / 20
    latencies = np.random.default_rng(3).normal(1, 0.002, (5, 20, _CALLS)) * shape[None, :, None] * _CALL_NS
    assert word in judged(latencies=latencies)["noisy-warm-up"].text


def test_a_warm_up_cut_short_by_its_time_limit_says_so_beside_what_else_is_wrong(judged: Judged) -> None:
    cut_short = replace(_CONDITIONS, settled=False)
    flags = judged(cut_short)
    assert flags.keys() == {"noisy-warm-up"}
    assert "reached its time limit" in flags["noisy-warm-up"].text
    assert "warm_up_max_s" in flags["noisy-warm-up"].text
    assert "p25_ms" in flags["noisy-warm-up"].affects
    shape = np.where(np.arange(20) < 8, 1.0, 1.2)
    latencies = np.random.default_rng(3).normal(1, 0.002, (5, 20, _CALLS)) * shape[None, :, None] * _CALL_NS
    both = judged(cut_short, latencies=latencies)["noisy-warm-up"].text
    assert "slower" in both
    assert "reached its time limit" in both


def test_calls_too_short_for_the_timer_invalidate_the_cell_and_the_advice_is_to_batch(judged: Judged) -> None:
    short = np.full((5, 10, _CALLS), 5_900)
    flags = judged(replace(_CONDITIONS, batch=4), latencies=short)
    assert "batch size above 4" in flags["invalid-too-fast"].text
    assert invalid_rule(tuple(flags.values()))
    assert "invalid-too-fast" not in judged(latencies=short + 200)


def test_a_clock_that_goes_back_invalidates_the_cell(judged: Judged) -> None:
    latencies = np.full((2, 10, _CALLS), _CALL_NS)
    latencies[0, 3, 5] = -1_000_000
    flags = judged(latencies=latencies)
    assert "1 calls" in flags["invalid-clock"].text
    assert str(invalid_rule(tuple(flags.values()))).startswith("invalid-clock")
    assert "invalid-clock" in judged(latencies=-latencies)  # and nothing breaks where no value is possible at all


def test_answers_remembered_by_input_invalidate_the_cell(block_of: Callable[..., Block], judged: Judged) -> None:
    repeated = [block_of([9_000, *[1_000] * 20], settling=1, index=index) for index in range(4)]
    ratio = distinct_input_ratio([([1_200] * 20, repeated), ([1_190] * 20, repeated), ([1_210] * 20, repeated)])
    assert ratio.value == pytest.approx(1.2, rel=1e-3)
    flags = judged(replace(_CONDITIONS, distinct_input_ratio=ratio))
    assert "1.20 times" in flags["invalid-caching"].text
    assert invalid_rule(tuple(flags.values()))
    slight = distinct_input_ratio([([1_090] * 20, repeated)] * 3)
    assert judged(replace(_CONDITIONS, distinct_input_ratio=slight)) == {}
    disturbed = distinct_input_ratio([([1_000] * 20, repeated), ([2_900] * 20, repeated), ([1_010] * 20, repeated)])
    assert judged(replace(_CONDITIONS, distinct_input_ratio=disturbed)) == {}
    once = distinct_input_ratio([([2_000] * 20, repeated)])
    assert judged(replace(_CONDITIONS, distinct_input_ratio=once)) == {}


def test_a_change_of_environment_between_the_arms_forbids_the_comparison(judged: Judged) -> None:
    flags = judged(replace(_CONDITIONS, environment_ids=("a1", "b2", "a1")))
    assert "2 environments (a1, b2)" in flags["invalid-environment"].text
    assert flags["invalid-environment"].affects == ("ratio", "p50_ratio")
    assert invalid_rule(tuple(flags.values()))
    assert judged(replace(_CONDITIONS, environment_ids=("a1", "a1"))) == {}


@pytest.fixture
def statistics(rounds_of: Rounds) -> Statistics:
    return summarise(rounds_of(np.random.default_rng(0).normal(_CALL_NS, 2000, (5, 10, _CALLS))), batch=1)


def test_heavy_contention_voids_the_mean_and_the_whole_tail_and_leaves_the_rest(
    statistics: Statistics, judged: Judged
) -> None:
    found = void(statistics, tuple(judged(run_delay_ns=0.75).values()))
    for name in ("mean_ms", "throughput_per_s", "p90_ms", "p95_ms", "p99_ms"):
        estimate = getattr(found, name)
        assert (estimate.value, estimate.interval, estimate.reason) == (None, None, "not valid: invalid-contention")
    kept = ("calls", "rounds", "p25_ms", "p50_ms", "min_ms", "warm_up")
    assert [getattr(found, name) for name in kept] == [getattr(statistics, name) for name in kept]


def test_flags_that_only_warn_or_reject_the_whole_cell_void_no_number(statistics: Statistics, judged: Judged) -> None:
    noisy = judged(run_delay_ns=0.1, major_faults=1)
    assert noisy
    assert void(statistics, tuple(noisy.values())) == statistics
    rejected = judged(replace(_CONDITIONS, cpu_quota_cores=0.5, effective_cpus=1, environment_ids=("a1", "b2")))
    assert rejected.keys() == {"invalid-limit-not-applied", "invalid-environment"}
    assert void(statistics, tuple(rejected.values())) == statistics


def test_voiding_leaves_the_minimum_which_is_a_plain_number(statistics: Statistics) -> None:
    flag = Flag(name="invalid-contention", text="", affects=("min_ms", "p99_ms", "p50_ratio"))
    found = void(statistics, (flag,))
    assert found.min_ms == statistics.min_ms
    assert found.p99_ms.value is None
    assert found.mean_ms == statistics.mean_ms


def test_the_reference_documentation_lists_every_flag() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "measurement.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `((?:noisy|invalid)-[a-z-]+)`", page, flags=re.MULTILINE))
    assert documented == FLAGS.keys()
