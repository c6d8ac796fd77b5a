"""The search on queues whose capacity is known, and the ways in which servers and clients spoil one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.core.requests import OK_HTTP, TIMED_OUT, Requests
from bench.core.served import ProbeResult
from bench.measure.search.findings import SEARCH_FLAGS
from bench.measure.search.probing import probe_result
from bench.measure.search.replicas import MeasuredPlan, ReplicaPlan, plan_replicas, rank_replicas
from bench.measure.search.saturation import Saturation, find_saturation
from bench.measure.search.search import SearchSettings, Slo, search, solve_for_rate
from bench.measure.served.latency import Load
from bench.measure.served.validity import judged_point

_SLO = Slo(latency_ms=10.0)
_TRUE_RATE = 0.774  # highest load of M/D/1 with p99 within ten service times


def queue_probe(seed: int) -> Callable[[float, int], ProbeResult]:
    """Probes of an M/D/1 queue whose service takes one, in ms and per second alike."""
    rng = np.random.default_rng(seed)

    def probe(rate_per_s: float, requests: int) -> ProbeResult:
        step = 1 - rng.exponential(1 / rate_per_s, requests + 300)
        position = np.cumsum(step)
        latencies = (position - np.minimum.accumulate(position) + 1)[300:]
        return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=float(np.percentile(latencies, 99)))

    return probe


def smooth_probe() -> Callable[[float, int], ProbeResult]:
    """Probes without noise: p99 is 2 ms / (1 - rate / 100), so that 10 ms hold up to 80 per second."""

    def probe(rate_per_s: float, requests: int) -> ProbeResult:
        p99_ms = 2 / (1 - rate_per_s / 100) if rate_per_s < 100 else None
        return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=p99_ms)

    return probe


_OF_100 = Saturation(x_max_per_s=100.0, knee_concurrency=4, steps=())


def confirmed_ratios(count: int, settings: SearchSettings | None = None, x_max: float = 1.0) -> np.ndarray:
    saturation = Saturation(x_max_per_s=x_max, knee_concurrency=1, steps=())
    found = [search(queue_probe(seed), _SLO, saturation, settings).confirmed_per_s for seed in range(count)]
    return np.array([np.nan if rate is None else rate for rate in found]) / _TRUE_RATE


def test_of_100_searches_98_are_not_over_2_percent_too_high_and_90_within_8_percent() -> None:
    ratios = confirmed_ratios(100)
    assert (ratios <= 1.02).sum() >= 98
    assert (ratios >= 0.92).sum() >= 90


@pytest.mark.slow
@pytest.mark.parametrize("x_max", [0.97, 1.03])
def test_a_saturation_that_is_off_by_3_percent_does_no_harm(x_max: float) -> None:
    ratios = confirmed_ratios(100, x_max=x_max)
    assert (ratios <= 1.02).sum() >= 98
    assert (ratios >= 0.92).sum() >= 90


@pytest.mark.slow
def test_a_search_with_an_eighth_of_the_requests_is_as_good_as_it_says() -> None:
    ratios = confirmed_ratios(200, SearchSettings(budget_requests=20_000))
    assert (ratios <= 1.02).mean() >= 0.92
    assert (ratios >= 0.87).mean() >= 0.88


def test_without_noise_the_fit_is_exact_and_the_rate_confirmed_is_2_percent_below() -> None:
    found = search(smooth_probe(), _SLO, _OF_100)
    assert found.fitted_per_s == pytest.approx(80)
    assert found.confirmed_per_s == pytest.approx(78.4)
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s < 80 < found.failed_per_s
    assert found.requests == 100_000
    assert found.flags == ()
    assert (found.x_max_per_s, found.knee_concurrency, found.slo_ms) == (100, 4, 10)


def test_a_rate_that_is_not_confirmed_is_stepped_back_from() -> None:
    smooth = smooth_probe()

    def moody(rate_per_s: float, requests: int) -> ProbeResult:
        if requests == 20_000 and rate_per_s > 75:
            return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=11.0)
        return smooth(rate_per_s, requests)

    found = search(moody, _SLO, _OF_100)
    assert found.confirmed_per_s == pytest.approx(78.4 * 0.97**2)


def test_a_rate_that_never_holds_is_not_reported() -> None:
    smooth = smooth_probe()

    def never(rate_per_s: float, requests: int) -> ProbeResult:
        result = smooth(rate_per_s, requests)
        return result if requests < 20_000 else ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=None)

    found = search(never, _SLO, _OF_100)
    assert found.confirmed_per_s is None
    assert found.fitted_per_s == pytest.approx(80)
    assert found.reason.startswith("no load confirmed the fitted rate of 80 requests per second")


def test_an_objective_below_one_request_is_told_after_the_bracket() -> None:
    found = search(smooth_probe(), Slo(latency_ms=1.0), _OF_100)
    assert found.confirmed_per_s is None
    assert [probe.rate_per_s for probe in found.probes] == [50, 25, 12.5, 6.25, 75]
    assert found.reason.startswith("no rate keeps it: p99 is 2.13 ms even at 6.25 requests per second")


def test_an_objective_that_every_rate_keeps_is_not_extrapolated_beyond_the_servers_most() -> None:
    found = search(smooth_probe(), Slo(latency_ms=10_000.0), _OF_100)
    assert found.confirmed_per_s is not None
    assert 90 < found.confirmed_per_s <= 97


def test_a_probe_that_was_ended_as_saturated_did_not_hold_and_does_not_bend_the_fit() -> None:
    smooth = smooth_probe()

    def stops_early(rate_per_s: float, requests: int) -> ProbeResult:
        if rate_per_s < 82:
            return smooth(rate_per_s, requests)
        return ProbeResult(rate_per_s=rate_per_s, requests=300, p99_ms=5.0, saturated=True)

    found = search(stops_early, _SLO, _OF_100)
    assert found.fitted_per_s == pytest.approx(80)
    assert found.requests < 100_000


def test_errors_over_the_budget_do_not_hold_however_fast_they_are() -> None:
    def failing(rate_per_s: float, requests: int) -> ProbeResult:
        ratio = 0.02 if rate_per_s > 50 else 0.0
        return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=1.0 + rate_per_s / 100, error_ratio=ratio)

    strict = search(failing, Slo(latency_ms=10.0, error_budget_ratio=0.01), _OF_100)
    assert strict.held_per_s is not None
    assert strict.held_per_s <= 50
    lenient = search(failing, Slo(latency_ms=10.0, error_budget_ratio=0.05), _OF_100)
    assert lenient.confirmed_per_s is not None
    assert lenient.confirmed_per_s > 90


def test_a_load_that_is_not_the_servers_is_repeated_once_and_then_said() -> None:
    smooth = smooth_probe()
    asked: list[float] = []

    def limited(rate_per_s: float, requests: int) -> ProbeResult:
        asked.append(rate_per_s)
        result = smooth(rate_per_s, requests)
        if rate_per_s <= 60:
            return result
        return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=result.p99_ms, problem="sent late")

    found = search(limited, _SLO, _OF_100)
    assert asked[:3] == [50, 75, 75]
    assert [flag.name for flag in found.flags] == ["search-problem"]
    assert "sent late" in found.flags[0].text
    assert found.failed_per_s is None  # nothing that can be believed has failed
    assert found.confirmed_per_s is not None
    assert found.confirmed_per_s <= 60


def test_a_server_that_waits_for_batches_is_flagged_as_non_monotone() -> None:
    def batching(rate_per_s: float, requests: int) -> ProbeResult:
        p99_ms = 14.0 if rate_per_s < 60 else 6.0
        return ProbeResult(rate_per_s=rate_per_s, requests=requests, p99_ms=p99_ms)

    found = search(batching, _SLO, _OF_100)
    assert [flag.name for flag in found.flags] == ["search-non-monotone"]
    assert found.confirmed_per_s is not None
    assert found.confirmed_per_s > 75


def test_a_small_budget_shortens_every_load_and_is_said() -> None:
    found = search(smooth_probe(), _SLO, _OF_100, SearchSettings(budget_requests=16_000))
    assert found.requests <= 16_000
    assert [flag.name for flag in found.flags] == ["search-shortened"]
    assert found.confirmed_per_s == pytest.approx(80 * (1 - 0.02 * 10**0.5))
    assert "shortened to 10%" in found.confidence
    by_time = search(smooth_probe(), _SLO, _OF_100, SearchSettings(budget_s=16_000 / 75))
    assert by_time.requests == found.requests


def test_the_confidence_tells_the_share_in_time_of_the_load_that_confirmed() -> None:
    found = search(real_probe, Slo(latency_ms=10.0), _OF_100, SearchSettings(budget_requests=20_000))
    assert found.confirmed_per_s is not None
    assert found.in_time_ratio.interval is not None
    assert "in time" in found.confidence
    assert all(flag.name in SEARCH_FLAGS for flag in found.flags)


def columns(planned: np.ndarray, done: np.ndarray, status: int = OK_HTTP) -> Requests:
    count = len(planned)
    return Requests(
        planned_ns=planned,
        sent_ns=planned.copy(),
        done_ns=done,
        status=np.full(count, status),
        input=np.zeros(count, dtype=np.int64),
        verdict=np.full(count, -1),
        stamps=np.zeros((count, 7), dtype=np.int64),
    )


def real_probe(rate_per_s: float, requests: int) -> ProbeResult:
    """The whole way: columns of a queue whose service takes 10 ms / 10, judged as a load and told as a probe."""
    rng = np.random.default_rng(requests)
    planned = 10**9 + np.cumsum(rng.exponential(1e9 / rate_per_s, requests)).astype(np.int64)
    work = np.arange(requests) * 10_000_000
    done = np.maximum.accumulate(planned - work) + work + 10_000_000
    measured = columns(planned, planned + (done - planned) // 5)
    point = judged_point(measured, Load(kind="poisson", slo_ms=10.0))
    return probe_result(measured, point, rate_per_s)


def test_a_probe_of_a_load_takes_failed_requests_into_its_p99() -> None:
    planned = 10**9 + np.arange(1_000) * 10_000_000
    requests = columns(planned, planned + 4_000_000)
    requests.status[::50] = TIMED_OUT
    point = judged_point(requests, Load(kind="constant", slo_ms=10.0))
    probe = probe_result(requests, point, 100.0)
    assert probe.p99_ms is None  # the p99 of those that were answered would be 4 ms
    assert probe.error_ratio == 0.02
    assert probe.problem == ""
    assert not Slo(latency_ms=10.0, error_budget_ratio=0.05).is_kept(probe)


def test_a_probe_of_a_client_limited_load_is_a_problem_and_one_of_a_growing_queue_is_saturated() -> None:
    planned = 10**9 + np.arange(1_000) * 10_000_000
    late = columns(planned, planned + 9_000_000)
    late.sent_ns[:] += 5_000_000
    assert "sent late" in probe_result(late, judged_point(late, Load(kind="constant")), 100.0).problem
    growing = columns(planned, planned + np.arange(1_000) * 2_500_000 + 1)
    probe = probe_result(growing, judged_point(growing, Load(kind="constant")), 100.0)
    assert probe.saturated
    assert probe.problem == ""


def test_the_fit_needs_two_rates_and_a_p99_that_rises() -> None:
    assert solve_for_rate([50.0], [4.0], 100.0, 10.0) is None
    assert solve_for_rate([50.0, 60.0], [4.0, 3.0], 100.0, 10.0) is None
    assert solve_for_rate([50.0, 60.0], [4.0, 5.0], 100.0, 10.0) == pytest.approx(80)


def test_saturation_is_where_more_callers_bring_nothing() -> None:
    asked: list[int] = []

    def closed(concurrency: int) -> float:
        asked.append(concurrency)
        return min(100.0, 30.0 * concurrency)

    found = find_saturation(closed)
    assert (found.x_max_per_s, found.knee_concurrency) == (100.0, 4)
    assert asked == [1, 2, 4, 8, 16]
    assert find_saturation(closed, max_concurrency=2).x_max_per_s == 60.0
    with pytest.raises(ValueError, match="answered nothing"):
        find_saturation(lambda concurrency: 0.0)


def test_a_throughput_that_still_rises_with_the_last_callers_is_no_limit_and_a_search_below_it_says_so() -> None:
    found = find_saturation(lambda callers: 10.0 * callers, max_concurrency=8)
    assert not found.is_limit
    flags = {flag.name: flag.text for flag in search(smooth_probe(), _SLO, found).flags}
    assert "8 callers did not reach the limit of the server" in flags["search-ceiling"]
    assert find_saturation(lambda callers: min(10.0 * callers, 40.0), max_concurrency=16).is_limit


def test_loads_that_were_cut_short_are_no_full_search() -> None:
    full = smooth_probe()
    found = search(lambda rate, requests: full(rate, requests // 4), _SLO, _OF_100)
    assert found.confirmed_per_s is not None
    assert "shortened to 25%" in found.confidence
    assert [flag.name for flag in found.flags] == ["search-shortened"]


def test_what_was_simulated_for_p99_is_said_of_p99_only() -> None:
    p95 = Slo(latency_ms=10.0, percent=95)
    assert "of 100 simulated searches" in search(smooth_probe(), _SLO, _OF_100).confidence
    assert "of 100 simulated searches" not in search(smooth_probe(), p95, _OF_100).confidence


def test_one_flat_step_does_not_end_the_climb() -> None:
    throughput = {1: 10.0, 2: 10.1, 4: 40.0, 8: 40.0, 16: 40.0}
    assert find_saturation(throughput.__getitem__, max_concurrency=16).x_max_per_s == 40.0


@pytest.mark.parametrize(
    ("cores", "shapes"),
    [
        (1, [(1, 1)]),
        (4, [(1, 4), (2, 2), (4, 1)]),
        (5, [(1, 5), (2, 2), (5, 1)]),
        (6, [(1, 6), (2, 3), (3, 2), (6, 1)]),
    ],
)
def test_replica_plans_use_the_cores_they_are_given(cores: int, shapes: list[tuple[int, int]]) -> None:
    plans = plan_replicas(cores)
    assert [(plan.workers, plan.threads) for plan in plans] == shapes
    assert all(plan.workers * plan.threads <= cores for plan in plans)


def test_every_shape_is_tried_with_every_batching_delay() -> None:
    plans = plan_replicas(2, batching_delays_ms=(0.0, 2.0))
    assert plans == (
        ReplicaPlan(workers=1, threads=2),
        ReplicaPlan(workers=1, threads=2, batching_delay_ms=2.0),
        ReplicaPlan(workers=2, threads=1),
        ReplicaPlan(workers=2, threads=1, batching_delay_ms=2.0),
    )
    assert [plan.workers for plan in plan_replicas(8, max_workers=3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="a core or more"):
        plan_replicas(0)


def test_of_rates_that_cannot_be_told_apart_the_one_with_less_memory_is_better() -> None:
    def measured(workers: int, rate: float | None, memory: int | None) -> MeasuredPlan:
        return MeasuredPlan(plan=ReplicaPlan(workers=workers, threads=1), rate_per_s=rate, memory_bytes=memory)

    fast, lean, slow, unknown = measured(4, 100, 400), measured(2, 98, 200), measured(1, 60, 100), measured(3, None, 1)
    unmeasured_memory = measured(5, 99, None)
    assert rank_replicas([unknown, slow, fast, unmeasured_memory, lean]) == (
        lean,
        fast,
        unmeasured_memory,
        slow,
        unknown,
    )
