"""A load point from columns made by hand: nothing that failed is hidden, and latency counts from when it was due."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.core.requests import DISCONNECTED, MALFORMED, OK_GRPC, OK_HTTP, TIMED_OUT, UNSENT, Requests
from bench.core.served import Attribution
from bench.measure.served.attribution import attribute, repeated_answers, void_stamps
from bench.measure.served.columns import client_lag_ms, growth_ratio, is_steady, unsent_by_client
from bench.measure.served.latency import Load, summarise

_MS = 1_000_000
_OPEN = Load(kind="constant")


def requests_of(count: int = 1_000, *, every_ms: float = 10, latency_ms: float = 4, lag_ms: float = 0) -> Requests:
    """Requests at a constant rate, all answered with 200 after the same time, without stamps."""
    planned = (1_000_000_000 + np.arange(count) * every_ms * _MS).astype(np.int64)
    return Requests(
        planned_ns=planned,
        sent_ns=planned + round(lag_ms * _MS),
        done_ns=planned + round(latency_ms * _MS),
        status=np.full(count, OK_HTTP, dtype=np.int64),
        input=np.zeros(count, dtype=np.int64),
        verdict=np.full(count, -1, dtype=np.int64),
        stamps=np.zeros((count, 7), dtype=np.int64),
    )


def with_failures(requests: Requests, rows: Any, status: int) -> Requests:
    changed = requests.status.copy()
    changed[rows] = status
    sent = np.where(changed == UNSENT, 0, requests.sent_ns)
    return replace(requests, status=changed, sent_ns=sent)


def test_an_undisturbed_load_has_the_numbers_it_was_made_of() -> None:
    point = summarise(requests_of(lag_ms=0.5), replace(_OPEN, server_cpu_s=2.0, client_cpu_s=1.0, slo_ms=5))
    assert point.requests == point.answered == 1_000
    assert point.statuses == ((OK_HTTP, 1_000),)
    assert point.offered_per_s == point.achieved_per_s == point.goodput_per_s == pytest.approx(100)
    assert point.p50_ms.value == point.p99_ms.value == point.mean_ms == point.max_ms == pytest.approx(4)
    assert point.service_p50_ms == pytest.approx(3.5)
    assert point.lag_p50_us == point.lag_p99_us == pytest.approx(500)
    assert point.goodput_ratio.value == 1
    assert point.duration_s == pytest.approx(9.994)
    assert (point.server_cpu_us_per_request, point.client_cpu_us_per_request) == (2_000, 1_000)
    assert point.client_cpu_ratio == pytest.approx(0.1, rel=0.01)
    assert not point.is_valid  # nobody has judged it


def test_the_first_tenth_of_the_time_is_warm_up_for_latency_but_not_for_failures() -> None:
    requests = requests_of()
    slow = requests.done_ns.copy()
    slow[:99] += 500 * _MS
    point = summarise(with_failures(replace(requests, done_ns=slow), slice(0, 3), TIMED_OUT), _OPEN)
    assert is_steady(requests).sum() == 900
    assert point.max_ms == pytest.approx(4)
    assert point.timed_out == 3
    assert point.answered == 997


def test_every_way_to_fail_is_counted_as_what_it_is() -> None:
    requests = requests_of()
    for rows, status in ((slice(0, 400), OK_GRPC), ([410, 411], 500), ([420], MALFORMED), ([430], DISCONNECTED)):
        requests = with_failures(requests, rows, status)
    point = summarise(with_failures(requests, [440, 441, 442], UNSENT), _OPEN)
    assert (point.answered, point.errors, point.timed_out, point.disconnected, point.unsent) == (993, 3, 0, 1, 3)
    assert point.failed == 7
    assert dict(point.statuses) == {OK_GRPC: 400, OK_HTTP: 593, 500: 2, MALFORMED: 1, DISCONNECTED: 1, UNSENT: 3}


def test_errors_of_every_33rd_request_are_exact_in_rate_and_goodput() -> None:
    point = summarise(with_failures(requests_of(3_300), slice(32, None, 33), 500), replace(_OPEN, slo_ms=10))
    assert point.errors == 100
    assert point.goodput_ratio.value == 1 - 90 / 2970  # of the steady part
    assert point.achieved_per_s == pytest.approx(100 * 32 / 33)
    assert point.mean_ms is None  # a mean of survivors would be none


def test_a_percentile_that_reaches_the_failed_share_has_no_value_and_says_how_long_they_waited() -> None:
    requests = requests_of(2_000)
    slow = requests.done_ns.copy()
    slow[::20] = requests.planned_ns[::20] + 1_000 * _MS
    point = summarise(with_failures(replace(requests, done_ns=slow), slice(0, None, 20), TIMED_OUT), _OPEN)
    assert point.p50_ms.value == pytest.approx(4)
    assert point.p99_ms.value is None
    assert "90 of 1800 requests that came to no good answer" in point.p99_ms.reason
    assert point.p99_ms.reason.endswith("those that timed out waited 1000 ms and more")


def test_a_wrong_answer_is_no_good_answer() -> None:
    verdict = np.full(1_000, -1)
    verdict[500:600] = 1
    verdict[550] = 0
    point = summarise(replace(requests_of(), verdict=verdict), replace(_OPEN, slo_ms=10))
    assert (point.checked, point.wrong) == (100, 1)
    assert point.goodput_ratio.value == 899 / 900


def test_a_stall_is_felt_by_all_who_were_due_meanwhile() -> None:
    requests = requests_of(2_000)
    stall_began = requests.planned_ns[1_000]
    met = (requests.planned_ns >= stall_began) & (requests.planned_ns < stall_began + 1_000 * _MS)
    done = np.where(met, stall_began + 1_000 * _MS, requests.done_ns)
    stalled = replace(requests, done_ns=done, sent_ns=np.maximum(requests.sent_ns, done - 4 * _MS))
    point = summarise(stalled, _OPEN)
    assert point.max_ms == pytest.approx(1_000)
    assert np.percentile((stalled.done_ns - stalled.planned_ns)[is_steady(stalled)] / 1e6, 99) > 800
    assert point.service_p99_ms == pytest.approx(4)  # which is why it is not the headline


def test_in_a_growing_queue_only_the_rate_that_is_done_is_achieved() -> None:
    requests = requests_of(2_000)
    finished = requests.planned_ns[0] + np.arange(1, 2_001) * 12_500_000  # 80 per second are done of 100
    point = summarise(replace(requests, done_ns=finished), _OPEN)
    assert point.offered_per_s == pytest.approx(100)
    assert point.achieved_per_s == pytest.approx(80, rel=0.01)
    span_ms = 2_000 * 10.0
    assert growth_ratio((finished - requests.planned_ns) / 1e6, span_ms) == pytest.approx(0.25, rel=0.01)


def test_a_closed_loop_has_throughput_by_its_callers_and_no_lag() -> None:
    started = np.arange(1_000) // 4 * 20 * _MS + 10**9  # four callers, 20 ms each: Little's law gives 200 per second
    loop = replace(requests_of(), planned_ns=started, sent_ns=started, done_ns=started + 20 * _MS)
    point = summarise(loop, Load(kind="closed", concurrency=4))
    assert point.achieved_per_s * 0.020 == pytest.approx(4, rel=0.01)
    assert point.offered_per_s == point.achieved_per_s
    assert point.lag_p50_us is None
    assert point.concurrency == 4


def test_waiting_for_a_connection_is_the_servers_delay_and_not_the_clients() -> None:
    requests = requests_of(200, every_ms=10, latency_ms=0)
    done = requests.planned_ns[0] + (np.arange(200) + 1) * 20 * _MS  # one connection, 20 ms each, 10 ms apart
    one_by_one = replace(requests, sent_ns=done - 20 * _MS, done_ns=done)
    assert client_lag_ms(one_by_one, None).max() == pytest.approx(199 * 10)
    assert client_lag_ms(one_by_one, 1).max() == 0
    late = replace(one_by_one, sent_ns=one_by_one.sent_ns + 5 * _MS)
    assert client_lag_ms(late, 1).max() == pytest.approx(5)


def test_unsent_requests_are_the_clients_where_a_connection_was_free() -> None:
    hung = requests_of(100, every_ms=10, latency_ms=10_000)  # nothing comes back
    unsent = with_failures(hung, slice(4, None), UNSENT)
    assert unsent_by_client(unsent, None) == 96
    assert unsent_by_client(unsent, 4) == 0
    assert unsent_by_client(unsent, 5) == 96


def test_a_load_without_a_request_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="without a request"):
        summarise(requests_of(0), _OPEN)


def test_a_load_of_which_nothing_was_sent_has_no_rate_and_no_latency() -> None:
    point = summarise(with_failures(requests_of(), slice(None), UNSENT), replace(_OPEN, slo_ms=1))
    assert point.achieved_per_s == point.goodput_per_s == 0
    assert point.p50_ms.value is None
    assert point.service_p50_ms is None
    assert point.goodput_ratio.value == 0


def stamped(requests: Requests, *, parts_ms: tuple[float, ...] = (0.2, 0.3, 0.1, 0.4, 2.0, 0.5)) -> Requests:
    """Stamps after the sending: transport, waiting, decoding, waiting, inference, encoding; the rest is transport."""
    moments = requests.sent_ns[:, None] + np.cumsum(parts_ms) * _MS
    return replace(requests, stamps=np.column_stack((np.full(len(moments), 4711), moments.astype(np.int64))))


def test_the_layers_of_a_request_add_up_to_its_latency() -> None:
    found = attribute(stamped(requests_of(lag_ms=0.1)))
    assert found.requests == 900
    assert found.client_ms == pytest.approx(0.1)
    assert found.transport_ms == pytest.approx(0.2 + 0.4)
    assert found.queue_ms == pytest.approx(0.3 + 0.4)
    assert found.deserialise_ms == pytest.approx(0.1)
    assert found.infer_ms == pytest.approx(2.0)
    assert found.serialise_ms == pytest.approx(0.5)
    assert found.end_to_end_ms == pytest.approx(4.0)
    assert found.unexplained_ratio == pytest.approx(0, abs=1e-9)


def test_stamps_out_of_order_or_outside_the_request_are_void_and_counted() -> None:
    requests = stamped(requests_of())
    stamps = requests.stamps.copy()
    stamps[500, 3] = stamps[500, 2] - 1  # decoded before it was dequeued
    stamps[501, 1] = requests.sent_ns[501] - 1  # received before it was sent
    stamps[502, 6] = requests.done_ns[502] + 1  # encoded after it was answered
    stamps[503] = 0  # none
    broken = replace(requests, stamps=stamps)
    assert void_stamps(broken) == (3, 999)
    assert attribute(broken).requests == 896


def test_a_server_without_stamps_has_its_time_in_one_piece() -> None:
    found = attribute(requests_of(lag_ms=1))
    assert (found.client_ms, found.server_ms, found.end_to_end_ms) == (1, 3, 4)
    assert found.infer_ms is None
    assert found.unexplained_ratio == 0
    assert found.reason == "the server does not tell when it did what"


def test_where_nothing_was_answered_there_is_nothing_to_attribute() -> None:
    found = attribute(with_failures(requests_of(), slice(None), 500))
    assert found == Attribution(reason="no request was answered")
    assert found.unexplained_ratio is None


def test_an_answer_that_belongs_to_another_request_is_found_by_its_stamps() -> None:
    requests = stamped(requests_of())
    assert repeated_answers(requests) == 0
    stamps = requests.stamps.copy()
    stamps[701] = stamps[700]
    assert repeated_answers(replace(requests, stamps=stamps)) == 1
