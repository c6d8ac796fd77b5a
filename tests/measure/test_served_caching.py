"""A server that remembers answers by their input gives itself away; one that does not is not accused."""

from __future__ import annotations

import numpy as np
import pytest

from bench.core.requests import OK_HTTP, TIMED_OUT, Requests
from bench.measure.served.caching import caching_ratio, in_pairs


def asked(inputs: list[int], service_ms: list[float], status: int = OK_HTTP) -> Requests:
    count = len(inputs)
    sent = np.arange(count, dtype=np.int64) * 10**9
    columns = {"planned_ns": sent, "sent_ns": sent, "verdict": np.full(count, -1)}
    done = sent + np.array([round(each * 1e6) for each in service_ms], dtype=np.int64)
    statuses = np.full(count, status)
    return Requests(**columns, done_ns=done, status=statuses, input=np.array(inputs), stamps=np.zeros((count, 7)))


def test_each_new_input_stands_beside_the_repeated_one_first_and_second_in_turn() -> None:
    assert in_pairs(4) == [1, 0, 0, 2, 3, 0]
    assert in_pairs(3, repeated=1) == [0, 1, 1, 2]


def test_a_server_that_remembers_is_slow_on_what_is_new() -> None:
    inputs = in_pairs(9)
    ratio = caching_ratio(
        asked(inputs, [2.0 + 0.01 * place if each else 1.0 for place, each in enumerate(inputs)]), repeated=0
    )
    assert ratio.value == pytest.approx(2.07, abs=0.05)
    assert ratio.interval is not None
    assert ratio.interval.low > 1.1


def test_a_first_request_that_is_slow_for_another_reason_is_not_taken_for_a_new_input() -> None:
    inputs = in_pairs(9)
    first_of_a_pair_is_slow = [1.5 if place % 2 == 0 else 1.0 for place in range(len(inputs))]
    ratio = caching_ratio(asked(inputs, first_of_a_pair_is_slow), repeated=0)
    assert ratio.value == pytest.approx(1.0)


def test_too_few_answers_give_no_ratio() -> None:
    ratio = caching_ratio(asked(in_pairs(9), [1.0] * 16, status=TIMED_OUT), repeated=0)
    assert ratio.value is None
    assert ratio.reason == "only 0 new inputs could be compared with a repeated one"
