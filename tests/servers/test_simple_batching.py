"""Requests that wait together are answered by one call, and never get what belongs to another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from servers.batching import Full, Inference, Job
from servers.config import Batching, can_batch


class Model:
    """Doubles its input, as often as it is let; remembers what it was called with."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        self.gate.wait(5)
        self.shapes.append(batch["x"].shape)
        if (batch["x"] < 0).any():
            raise TargetError("a negative number")
        return {"y": batch["x"] * 2}


def _samples(*values: float, width: int = 3) -> dict[str, Any]:
    return {"x": np.array([[value] * width for value in values], np.float32).reshape(len(values), width)}


@contextmanager
def _inference(
    run: Callable[..., Any], *, batching: Batching | None = None, max_waiting: int = 100
) -> Iterator[Inference]:
    inference = Inference(run, max_waiting=max_waiting, batching=batching)
    try:
        yield inference
    finally:
        assert inference.close()


def _all(inference: Inference, batches: list[dict[str, Any]], model: Model | None = None) -> list[Job]:
    """Hand in everything at once, then let the model go on."""

    async def run() -> list[Job]:
        jobs = [inference.submit(batch) for batch in batches]
        if model is not None:
            model.gate.set()
        for job in jobs:
            await job.done
        return jobs

    return asyncio.run(run())


def test_without_batching_each_request_is_a_call() -> None:
    model = Model()
    with _inference(model) as inference:
        jobs = _all(inference, [_samples(1), _samples(2, 3)])
    assert model.shapes == [(1, 3), (2, 3)]
    np.testing.assert_array_equal(jobs[1].outputs["y"], _samples(4, 6)["x"])
    assert 0 < jobs[0].started_ns < jobs[0].inferred_ns <= jobs[1].started_ns < jobs[1].inferred_ns


def test_requests_that_wait_are_one_call_and_each_gets_its_own() -> None:
    model = Model()
    model.gate.clear()
    with _inference(model, batching=Batching(max_batch=8, delay_ms=0)) as inference:
        batches = [_samples(0), _samples(1), _samples(2, 3), _samples(4)]
        jobs = _all(inference, batches, model)
    assert len(model.shapes) <= 2  # the first may have been alone
    for job, batch in zip(jobs, batches, strict=True):
        np.testing.assert_array_equal(job.outputs["y"], batch["x"] * 2)


def test_a_batch_is_never_larger_than_allowed_but_for_a_request_that_is() -> None:
    model = Model()
    with _inference(model, batching=Batching(max_batch=4, delay_ms=5000)) as inference:
        _all(inference, [_samples(*range(3)), _samples(*range(2)), _samples(*range(2)), _samples(*range(6))])
    assert model.shapes == [(3, 3), (4, 3), (6, 3)]


def test_requests_of_different_shapes_are_never_mixed() -> None:
    model = Model()
    with _inference(model, batching=Batching(max_batch=8, delay_ms=200)) as inference:
        jobs = _all(inference, [_samples(1), _samples(2), _samples(3, width=2), _samples(4)])
    assert model.shapes == [(2, 3), (1, 2), (1, 3)]
    np.testing.assert_array_equal(jobs[2].outputs["y"], [[6, 6]])


def test_a_batch_waits_for_its_delay_and_no_longer() -> None:
    model = Model()

    async def run(inference: Inference) -> tuple[float, float]:
        started = time.monotonic()
        first = inference.submit(_samples(1))
        await asyncio.sleep(0.05)
        second = inference.submit(_samples(2))
        await first.done
        together = time.monotonic() - started
        await second.done
        started = time.monotonic()
        await asyncio.gather(*(inference.submit(_samples(3)).done for _ in range(8)))
        return together, time.monotonic() - started

    with _inference(model, batching=Batching(max_batch=8, delay_ms=200)) as inference:
        together, full = asyncio.run(run(inference))
    assert model.shapes == [(2, 3), (8, 3)]
    assert 0.19 < together < 2
    assert full < 0.19  # a full batch waits for nothing


def test_a_call_that_fails_fails_its_own_requests_and_no_other() -> None:
    model = Model()
    with _inference(model, batching=Batching(max_batch=2, delay_ms=5000)) as inference:
        jobs = _all(inference, [_samples(1), _samples(-1), _samples(2), _samples(3)])
    assert [str(job.error or "") for job in jobs] == ["a negative number", "a negative number", "", ""]
    np.testing.assert_array_equal(jobs[3].outputs["y"], _samples(6)["x"])


@pytest.mark.parametrize("batching", [None, Batching(max_batch=4, delay_ms=0)])
def test_whatever_a_call_raises_the_next_one_is_made(batching: Batching | None) -> None:
    def run(batch: Mapping[str, Any]) -> Mapping[str, Any]:
        if batch["x"][0, 0] == 0:
            raise ZeroDivisionError
        return {"y": batch["x"]}

    with _inference(run, batching=batching) as inference:
        (failed,) = _all(inference, [_samples(0)])
        (answered,) = _all(inference, [_samples(1)])
    assert isinstance(failed.error, ZeroDivisionError)
    assert answered.error is None


def test_outputs_without_an_axis_of_samples_are_not_given_to_anybody() -> None:
    with _inference(
        lambda batch: {"y": batch["x"].sum(axis=0)}, batching=Batching(max_batch=2, delay_ms=5000)
    ) as inference:
        jobs = _all(inference, [_samples(1), _samples(2)])
    assert {str(job.error) for job in jobs} == {"output 'y' is [3] for 2 samples: it cannot be divided"}


def test_more_than_may_wait_are_refused() -> None:
    model = Model()
    model.gate.clear()

    async def run(inference: Inference) -> None:
        jobs = [inference.submit(_samples(1))]
        await asyncio.sleep(0.05)  # in the model by now
        jobs += [inference.submit(_samples(number)) for number in (2, 3)]
        with pytest.raises(Full):
            inference.submit(_samples(4))
        model.gate.set()
        for job in jobs:
            await job.done

    with _inference(model, max_waiting=2) as inference:
        asyncio.run(run(inference))
    assert len(model.shapes) == 3


def test_samples_can_be_put_together_where_all_tensors_share_a_dynamic_first_axis() -> None:
    def spec(*shape: int | str) -> TensorSpec:
        return TensorSpec(name="t", dtype="float32", shape=shape)

    assert can_batch([spec("batch", 3), spec("batch")], [spec("batch", 2)])
    assert not can_batch([spec("batch", 3)], [spec(1, 2)])
    assert not can_batch([spec(1, 3)], [spec(1, 2)])
    assert not can_batch([spec("batch", 3), spec()], [spec("batch")])
    assert not can_batch([spec("batch", 3)], [spec("output_dims")])
