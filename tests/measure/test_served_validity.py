"""Each rule of a served cell fires where it must and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core.requests import DISCONNECTED, OK_HTTP, TIMED_OUT, UNSENT, Requests
from bench.core.results import Estimate, Flag, Interval
from bench.core.served import LoadPoint, Served
from bench.measure.served.latency import Load
from bench.measure.served.server_validity import ClientCounts, judge_server
from bench.measure.served.validity import SERVED_FLAGS, is_saturated, judged_point, verdict_of

_MS = 1_000_000
_OPEN = Load(kind="poisson")
_SERVED = Served(
    worker_counts=((11, 500), (12, 500)),
    server_received=1_000,
    server_answered=1_000,
    client_sent=1_000,
    agreement="bitwise",
    caching_ratio=Estimate(value=1.02, interval=Interval(low=0.97, high=1.07, confidence=0.95)),
)
_COUNTS = ClientCounts(sent=1_000, answered=1_000)


@pytest.fixture
def calm() -> Requests:
    """2000 requests at 100 per second, each sent within 50 us and answered after 4 ms or so."""
    rng = np.random.default_rng(0)
    planned = 10**9 + np.cumsum(rng.exponential(10 * _MS, 2_000)).astype(np.int64)
    sent = planned + rng.integers(0, 50_000, 2_000)
    return Requests(
        planned_ns=planned,
        sent_ns=sent,
        done_ns=sent + rng.normal(4 * _MS, 0.1 * _MS, 2_000).astype(np.int64),
        status=np.full(2_000, OK_HTTP),
        input=np.zeros(2_000, dtype=np.int64),
        verdict=np.full(2_000, 1),
        stamps=np.zeros((2_000, 7), dtype=np.int64),
    )


def changed(requests: Requests, column: str, rows: Any, value: Any) -> Requests:
    values = getattr(requests, column).copy()
    values[rows] = value
    return replace(requests, **{column: values})


def names(flags: tuple[Flag, ...]) -> list[str]:
    return [flag.name for flag in flags]


def test_a_calm_load_has_no_flag_and_is_ok(calm: Requests) -> None:
    point = judged_point(calm, _OPEN)
    assert point.flags == ()
    assert point.verdict == "ok"
    assert point.is_valid


def test_a_generator_that_was_stopped_is_named_as_the_limit_and_its_latencies_still_count_from_the_plan(
    calm: Requests,
) -> None:
    stopped = calm.planned_ns[1_000]
    held = (calm.planned_ns >= stopped) & (calm.planned_ns < stopped + 300 * _MS)
    late = changed(calm, "sent_ns", held, stopped + 300 * _MS)
    point = judged_point(changed(late, "done_ns", held, stopped + 304 * _MS), _OPEN)
    assert names(point.flags) == ["invalid-client-limited"]
    assert not point.is_valid
    assert point.max_ms == pytest.approx(304)


def test_a_client_that_cannot_keep_the_rate_is_no_measure_of_the_server(calm: Requests) -> None:
    sent = calm.planned_ns[0] + np.arange(2_000) * 100 * _MS  # asked for ten times what it can send
    point = judged_point(replace(calm, sent_ns=np.maximum(sent, calm.planned_ns), done_ns=sent + 400 * _MS), _OPEN)
    assert point.verdict == "client-limited"
    text = point.flags[0].text
    assert "sent late" in text
    assert "behind the offered rate" in text


def test_unsent_requests_make_a_load_client_limited(calm: Requests) -> None:
    unsent = changed(changed(calm, "status", [5], UNSENT), "sent_ns", [5], 0)
    point = judged_point(unsent, _OPEN)
    assert (point.verdict, point.unsent) == ("client-limited", 1)
    assert names(point.flags) == ["invalid-client-limited"]


def test_a_client_that_stalls_for_longer_than_the_time_out_is_not_told_as_the_servers_failure(calm: Requests) -> None:
    stopped, timeout = calm.planned_ns[1_000], 500 * _MS
    held = (calm.planned_ns >= stopped) & (calm.planned_ns < stopped + 2_000 * _MS)
    late = changed(calm, "sent_ns", held, stopped + 2_000 * _MS)
    gone = held & (calm.planned_ns + timeout < stopped + 2_000 * _MS)
    late = changed(late, "done_ns", held, stopped + 2_004 * _MS)
    late = changed(late, "done_ns", gone, calm.planned_ns[gone] + timeout)  # before it was sent
    point = judged_point(changed(late, "status", gone, TIMED_OUT), _OPEN)
    assert point.timed_out > 100
    assert names(point.flags) == ["invalid-client-limited"]
    assert point.verdict == "client-limited"


def test_lateness_is_judged_against_the_latency_itself(calm: Requests) -> None:
    late = replace(calm, sent_ns=calm.planned_ns + 3 * _MS)
    slow = replace(late, done_ns=late.done_ns + 40 * _MS)
    assert judged_point(late, _OPEN).verdict == "client-limited"
    assert judged_point(slow, _OPEN).verdict == "ok"


def test_a_busy_client_limits_a_closed_loop_and_an_open_one_only_if_it_is_late(calm: Requests) -> None:
    loop = replace(calm, sent_ns=calm.planned_ns)
    closed = judged_point(loop, Load(kind="closed", concurrency=1, client_cpu_s=19.5))
    assert closed.verdict == "client-limited"
    assert judged_point(calm, replace(_OPEN, client_cpu_s=19.5)).verdict == "ok"  # it spins until a request is due


def test_a_closed_loop_is_marked_for_what_it_leaves_out(calm: Requests) -> None:
    point = judged_point(replace(calm, sent_ns=calm.planned_ns), Load(kind="closed", concurrency=1))
    assert names(point.flags) == ["coordinated-omission"]
    assert point.verdict == "ok"
    assert "achieved_per_s" not in point.flags[0].affects


def overloaded(calm: Requests) -> Requests:
    """One after the other the server does 80 of 100 requests per second."""
    work = np.arange(2_000) * 12_500_000
    return replace(calm, done_ns=np.maximum.accumulate(calm.sent_ns - work) + work + 12_500_000)


def test_a_queue_that_only_grows_is_saturation(calm: Requests) -> None:
    point = judged_point(overloaded(calm), _OPEN)
    assert point.verdict == "saturated"
    assert names(point.flags) == ["invalid-saturated"]
    assert point.achieved_per_s == pytest.approx(80, rel=0.02)
    assert is_saturated(overloaded(calm), _OPEN)


def test_saturation_behind_few_connections_is_still_the_servers(calm: Requests) -> None:
    queued = overloaded(calm)
    pooled = replace(queued, sent_ns=np.maximum(queued.planned_ns, queued.done_ns - 4 * 12_500_000))
    assert judged_point(pooled, replace(_OPEN, connections=4)).verdict == "saturated"
    assert judged_point(pooled, _OPEN).verdict == "client-limited"


@pytest.mark.parametrize(("when", "stall_s"), [(0.2, 1), (0.5, 1), (0.96, 1), (0.7, 6)])
def test_one_long_stall_is_not_saturation(when: float, stall_s: int, calm: Requests) -> None:
    began = calm.planned_ns[int(when * 2_000)]
    met = (calm.planned_ns >= began) & (calm.planned_ns < began + stall_s * 1_000 * _MS)
    assert not is_saturated(changed(calm, "done_ns", met, began + stall_s * 1_000 * _MS), _OPEN)


@pytest.mark.parametrize(("budget", "verdict"), [(0.0, "errors"), (0.029, "errors"), (0.031, "ok")])
def test_errors_count_against_their_budget(budget: float, verdict: str, calm: Requests) -> None:
    failing = changed(calm, "status", slice(32, None, 33), 500)  # 60 of 2000
    assert judged_point(failing, replace(_OPEN, error_budget_ratio=budget)).verdict == verdict


def test_timeouts_and_dropped_connections_are_errors_too(calm: Requests) -> None:
    dropped = changed(calm, "status", slice(49, None, 50), DISCONNECTED)
    point = judged_point(changed(dropped, "status", [60], TIMED_OUT), _OPEN)
    assert point.verdict == "errors"
    assert "41 of 2000 requests failed (0 errors, 1 timed out, 40 disconnected, 0 unsent)" in point.flags[0].text


def test_a_hung_server_fails_and_its_client_does_not(calm: Requests) -> None:
    hung = replace(calm, done_ns=calm.planned_ns + 10**10, status=np.full(2_000, TIMED_OUT))
    waiting = changed(changed(hung, "status", slice(8, None), UNSENT), "sent_ns", slice(8, None), 0)
    waiting = changed(waiting, "done_ns", slice(0, 8), waiting.planned_ns[-1] + 1)
    point = judged_point(waiting, replace(_OPEN, connections=8))
    assert point.verdict == "errors"
    assert names(point.flags) == ["invalid-errors"]


def test_one_wrong_answer_spoils_a_load(calm: Requests) -> None:
    point = judged_point(changed(calm, "verdict", [700], 0), _OPEN)
    assert point.verdict == "wrong answers"
    assert "1 of 2000 sampled answers are wrong" in point.flags[0].text


def test_answers_that_come_twice_are_found(calm: Requests) -> None:
    assert names(judged_point(calm, replace(_OPEN, duplicates=1)).flags) == ["invalid-duplicate-answers"]
    moments = np.sort(np.random.default_rng(1).integers(60_000, 3 * _MS, (2_000, 6)), axis=1)
    stamps = np.column_stack((np.full(2_000, 7), calm.planned_ns[:, None] + moments))
    assert judged_point(replace(calm, stamps=stamps), _OPEN).flags == ()
    stamps[900] = stamps[899]
    point = judged_point(replace(calm, stamps=stamps), _OPEN)
    assert names(point.flags) == ["invalid-duplicate-answers"]
    assert point.verdict == "invalid"


def test_many_impossible_stamps_are_flagged_and_a_few_are_not(calm: Requests) -> None:
    stamps = np.column_stack((np.full(2_000, 7), calm.sent_ns[:, None] + np.arange(1, 7) * 1_000))
    for broken, expected in ((20, []), (21, ["noisy-stamps"])):
        some = stamps.copy()
        some[:broken, 6] -= 10_000
        assert names(judged_point(replace(calm, stamps=some), _OPEN).flags) == expected


def test_a_clock_that_went_back_is_invalid(calm: Requests) -> None:
    point = judged_point(changed(calm, "done_ns", [900], calm.sent_ns[900] - 1), _OPEN)
    assert names(point.flags) == ["invalid-clock"]
    assert point.verdict == "invalid"


def test_what_no_client_can_cause_comes_first_and_then_the_clients_own_fault() -> None:
    flags = [Flag(name=name, text="") for name in SERVED_FLAGS if name.startswith("invalid-")]
    assert verdict_of(flags) == "wrong answers"
    told = [flag for flag in flags if flag.name not in {"invalid-wrong-answers", "invalid-errors"}]
    assert verdict_of(told) == "client-limited"
    assert verdict_of([Flag(name="noisy-co-located", text="")]) == "ok"


def test_a_calm_server_has_no_flag() -> None:
    assert judge_server(_SERVED, _COUNTS) == ()
    assert judge_server(Served(), _COUNTS) == ()  # a server that tells nothing is not accused of anything


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"restarts": 1}, "invalid-server-restarted"),
        ({"agreement": "output 'scores' is off by 0.3"}, "invalid-agreement"),
        ({"worker_counts": ((11, 760), (12, 240))}, "noisy-unbalanced-workers"),
        ({"co_located": True}, "noisy-co-located"),
        ({"server_received": 1_003}, "invalid-counts-mismatch"),
        ({"server_received": 999}, "invalid-counts-mismatch"),
        ({"server_answered": 1_001}, "invalid-missing-answers"),
        ({"server_answered": 998}, "invalid-duplicate-answers"),
    ],
)
def test_what_a_server_did_wrong_is_named(change: dict[str, Any], expected: str) -> None:
    assert names(judge_server(replace(_SERVED, **change), _COUNTS)) == [expected]


def test_requests_without_an_answer_may_or_may_not_have_reached_the_servers() -> None:
    counts = ClientCounts(sent=1_000, answered=990, unanswered=10)
    for received in (990, 1_000):
        assert judge_server(replace(_SERVED, server_received=received, server_answered=received), counts) == ()
    assert names(judge_server(replace(_SERVED, server_received=989, server_answered=990), counts)) == [
        "invalid-counts-mismatch"
    ]


@pytest.mark.parametrize(("low", "flagged"), [(1.09, False), (1.11, True)])
def test_caching_is_claimed_only_where_the_whole_interval_shows_it(low: float, flagged: bool) -> None:
    ratio = Estimate(value=1.3, interval=Interval(low=low, high=1.5, confidence=0.95))
    assert (names(judge_server(replace(_SERVED, caching_ratio=ratio))) == ["invalid-caching"]) is flagged


def test_workers_with_few_requests_say_nothing_about_balance() -> None:
    assert judge_server(replace(_SERVED, worker_counts=((11, 20), (12, 1)))) == ()


def test_flags_name_only_what_a_load_point_has(calm: Requests) -> None:
    flags = [
        *judged_point(changed(overloaded(calm), "verdict", [3], 0), replace(_OPEN, duplicates=2)).flags,
        *judge_server(replace(_SERVED, restarts=1, co_located=True, server_received=1), _COUNTS),
    ]
    assert len(flags) >= 5
    for flag in flags:
        assert flag.name in SERVED_FLAGS
        assert set(flag.affects) <= set(LoadPoint.__dataclass_fields__)
