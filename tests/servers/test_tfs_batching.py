"""Calls of many threads reach a session one at a time, in turn or as batches, and never more than may wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from servers.tfs.batching import Batches, Turns
from servers.tfs.status import StatusError
from servers.tfs.text_files import BatchingParameters
from tests.servers.tfs_cases import wait_until


class Model:
    """Doubles its input; `gate` keeps it busy, `calls` are the sizes of the batches that it was given."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[int] = []
        self.order: list[float] = []
        self._inside = threading.Lock()

    def run(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._inside.acquire(blocking=False), "two calls at a time"
        try:
            self.calls.append(len(batch["x"]))
            self.order += batch["x"][:, 0].tolist()
            assert self.gate.wait(5)
            if np.isnan(batch["x"]).any():
                raise ValueError("not a number")
            return {"y": batch["x"] * 2}
        finally:
            self._inside.release()


def always() -> bool:
    return True


def rows(*values: float, width: int = 2) -> dict[str, Any]:
    return {"x": np.repeat(np.array(values, np.float32), width).reshape(len(values), width)}


def batches(model: Model, observed: list[int] | None = None, **parameters: Any) -> Batches:
    observe: Callable[[int], object] = ([] if observed is None else observed).append
    return Batches(model.run, BatchingParameters(**parameters), observe)  # type: ignore[arg-type]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(StatusError) as caught:
        call()
    return caught.value.code


def test_turns_are_taken_in_the_order_of_arrival_and_are_bounded() -> None:
    model = Model()
    turns = Turns(model.run, max_waiting=3)
    model.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        calls = []
        for number in range(4):
            calls.append(pool.submit(turns.run, rows(number), always))
            wait_until(lambda count=number: len(turns._waiting) + len(model.calls) == count + 1)
        assert code_of(lambda: turns.run(rows(9), always)) == "RESOURCE_EXHAUSTED"
        model.gate.set()
        ran = [call.result() for call in calls]
    assert model.order == [0, 1, 2, 3]
    assert [each.outputs["y"][0, 0] for each in ran] == [0, 2, 4, 6]
    assert all(each.started_ns <= each.inferred_ns for each in ran)


def test_a_turn_is_given_back_when_the_model_fails_or_nobody_waits() -> None:
    model = Model()
    turns = Turns(model.run, max_waiting=0)
    with pytest.raises(ValueError, match="not a number"):
        turns.run(rows(np.nan), always)
    assert code_of(lambda: turns.run(rows(1), lambda: False)) == "CANCELLED"
    assert turns.run(rows(1), always).outputs["y"].tolist() == [[2, 2]]
    assert len(model.calls) == 2


def test_calls_that_wait_together_are_answered_by_one() -> None:
    model, observed = Model(), list[int]()
    runner = batches(model, observed, max_batch_size=4)
    model.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(runner.run, rows(1), always)
        wait_until(lambda: model.calls == [1])
        more = [pool.submit(runner.run, rows(*values), always) for values in ((2,), (3, 4), (5,), (6,))]
        wait_until(lambda: sum(len(queue) for queue in runner._queues.values()) == 4)
        model.gate.set()
        outputs = [call.result().outputs["y"] for call in (first, *more)]
    runner.close()
    assert [output[:, 0].tolist() for output in outputs] == [[2], [4], [6, 8], [10], [12]]
    assert model.calls[0] == 1
    assert sorted(model.calls[1:]) == [1, 4]
    assert observed == model.calls


def test_a_batch_waits_for_others_no_longer_than_its_time_out() -> None:
    model = Model()
    runner = batches(model, max_batch_size=3, batch_timeout_us=60_000)
    started = time.monotonic()
    runner.run(rows(1), always)
    assert 0.06 <= time.monotonic() - started < 1.0
    started = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda value: runner.run(rows(value), always), (1, 2, 3)))
    assert time.monotonic() - started < 0.06, "a full batch waits for nothing"
    runner.close()
    assert model.calls == [1, 3]


def test_calls_of_different_shapes_never_share_a_batch() -> None:
    model = Model()
    runner = batches(model, max_batch_size=8, batch_timeout_us=20_000)
    with ThreadPoolExecutor(2) as pool:
        narrow, wide = pool.map(lambda width: runner.run(rows(1, width=width), always), (2, 3))
    runner.close()
    assert (narrow.outputs["y"].shape, wide.outputs["y"].shape) == ((1, 2), (1, 3))
    assert model.calls == [1, 1]


def test_a_batch_is_filled_up_to_an_allowed_size_that_nobody_sees() -> None:
    model, observed = Model(), list[int]()
    runner = batches(model, observed, max_batch_size=8, allowed_batch_sizes=(4, 8))
    assert runner.run(rows(1, 2, 3), always).outputs["y"][:, 0].tolist() == [2, 4, 6]
    runner.close()
    assert (model.calls, observed) == ([4], [3])


def test_a_batch_that_is_too_large_is_refused_or_divided() -> None:
    model = Model()
    runner = batches(model, max_batch_size=2)
    assert code_of(lambda: runner.run(rows(1, 2, 3), always)) == "INVALID_ARGUMENT"
    runner.close()
    runner = batches(model, max_batch_size=2, enable_large_batch_splitting=True)
    assert runner.run(rows(1, 2, 3), always).outputs["y"][:, 0].tolist() == [2, 4, 6]
    runner.close()
    assert model.calls == [2, 1]


def test_a_full_queue_refuses_and_an_error_reaches_every_caller_of_its_batch() -> None:
    model = Model()
    runner = batches(model, max_batch_size=2, max_enqueued_batches=1)
    model.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(runner.run, rows(1), always)
        wait_until(lambda: model.calls == [1])
        failing = [pool.submit(runner.run, rows(value), always) for value in (np.nan, 2)]
        wait_until(lambda: sum(len(queue) for queue in runner._queues.values()) == 2)
        assert code_of(lambda: runner.run(rows(3), always)) == "UNAVAILABLE"
        model.gate.set()
        assert first.result().outputs["y"].tolist() == [[2, 2]]
        for call in failing:
            with pytest.raises(ValueError, match="not a number"):
                call.result()
    assert runner.run(rows(4), always).outputs["y"].tolist() == [[8, 8]]
    assert code_of(lambda: runner.run(rows(4), lambda: False)) == "CANCELLED"
    runner.close()
    assert model.calls == [1, 2, 1]


def test_inputs_without_a_common_first_dimension_cannot_be_batched() -> None:
    runner = batches(Model())
    for wrong in ({"x": np.float32(1).reshape(())}, {"x": np.ones((1, 2)), "y": np.ones((2, 2))}):
        assert code_of(lambda wrong=wrong: runner.run(wrong, always)) == "INVALID_ARGUMENT"  # type: ignore[misc]
    runner.close()
