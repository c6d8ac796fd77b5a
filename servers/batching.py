"""The thread that calls the model: what an event loop hands to it, one request at a time or several as one batch."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.core.errors import TargetError

from .config import Batching

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

    Run = Callable[[Batch], Mapping[str, Array]]

_LEAVE_S = 1.0  # for the call that is running when the server ends


class Full(Exception):
    """As many requests wait for the model as may."""


class Job:
    """One request on its way through the model; times are ns of CLOCK_MONOTONIC.

    Once `done` has its result, either `outputs` or `error` is set, and both times are.
    """

    __slots__ = ("batch", "done", "error", "inferred_ns", "outputs", "samples", "shapes", "started_ns")

    def __init__(self, batch: Batch, done: asyncio.Future[None]) -> None:
        self.batch = batch
        self.done = done
        self.outputs: Mapping[str, Array] = {}
        self.error: Exception | None = None
        self.started_ns = 0
        self.inferred_ns = 0
        self.samples = 1
        self.shapes: tuple[tuple[int, ...], ...] = ()


class Inference:
    """A bounded queue from one event loop to one thread that calls `run`.

    With `batching`, requests that wait together are answered by one call: they are put together along the first axis
    when their other axes are equal, in the order in which they came. A call that fails, fails all of its requests.
    """

    def __init__(self, run: Run, *, max_waiting: int, batching: Batching | None = None) -> None:
        self._run = run
        self._max_waiting = max_waiting
        self._batching = batching
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._held: Job | None = None  # came too late for one batch, begins the next
        self._may_collect = threading.Event()
        self._may_collect.set()
        self._thread = threading.Thread(
            target=self._one_by_one if batching is None else self._in_batches, name="inference", daemon=True
        )
        self._thread.start()

    def submit(self, batch: Batch) -> Job:
        """Hand over a batch from the running event loop; await the job's `done`. Full refuses it at once."""
        if self._waiting.qsize() >= self._max_waiting:
            raise Full
        job = Job(batch, asyncio.get_running_loop().create_future())
        if self._batching is not None:
            job.samples = len(next(iter(batch.values())))
            job.shapes = tuple(array.shape[1:] for array in batch.values())
        self._waiting.put(job)
        return job

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """No batch is closed inside: what is submitted meanwhile belongs together."""
        self._may_collect.clear()
        try:
            yield
        finally:
            self._may_collect.set()

    def close(self) -> bool:
        """End the thread once what waits is answered; False when it did not within a second."""
        self._waiting.put(None)
        self._thread.join(_LEAVE_S)
        return not self._thread.is_alive()

    def _one_by_one(self) -> None:
        while (job := self._waiting.get()) is not None:
            job.started_ns = time.perf_counter_ns()
            try:
                job.outputs = self._run(job.batch)
            except Exception as error:  # noqa: BLE001  the thread outlives whatever a call does
                job.error = error
            job.inferred_ns = time.perf_counter_ns()
            _finish((job,))

    def _in_batches(self) -> None:
        while (first := self._held or self._waiting.get()) is not None:
            self._held = None
            self._may_collect.wait()
            jobs = self._collected(first)
            started_ns = time.perf_counter_ns()
            try:
                outputs = _divided(self._run(_joined(jobs)), jobs)
            except Exception as error:  # noqa: BLE001  the thread outlives whatever a call does
                for job in jobs:
                    job.error = error
            else:
                for job, part in zip(jobs, outputs, strict=True):
                    job.outputs = part
            inferred_ns = time.perf_counter_ns()
            for job in jobs:
                job.started_ns, job.inferred_ns = started_ns, inferred_ns
            _finish(jobs)

    def _collected(self, first: Job) -> list[Job]:
        """`first` and those that wait with it, or come within the delay, as long as they fit."""
        assert self._batching is not None  # noqa: S101
        jobs, samples = [first], first.samples
        deadline = time.monotonic() + self._batching.delay_ms / 1e3
        while samples < self._batching.max_batch:
            try:
                job = self._waiting.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if job is None:
                self._waiting.put(None)  # answer these first
                break
            if job.shapes != first.shapes or samples + job.samples > self._batching.max_batch:
                self._held = job
                break
            jobs.append(job)
            samples += job.samples
        return jobs


def _joined(jobs: Sequence[Job]) -> Batch:
    if len(jobs) == 1:
        return jobs[0].batch
    import numpy as np

    return {name: np.concatenate([job.batch[name] for job in jobs]) for name in jobs[0].batch}


def _divided(outputs: Mapping[str, Array], jobs: Sequence[Job]) -> list[Mapping[str, Array]]:
    if len(jobs) == 1:
        return [outputs]
    total = sum(job.samples for job in jobs)
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != total:
            raise TargetError(f"output {name!r} is {list(array.shape)} for {total} samples: it cannot be divided")
    parts: list[Mapping[str, Array]] = []
    start = 0
    for job in jobs:
        end = start + job.samples
        parts.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return parts


def _finish(jobs: Sequence[Job]) -> None:
    """Wake whoever waits, with one call for all; a loop that is closed waits for nothing any more."""
    with contextlib.suppress(RuntimeError):
        jobs[0].done.get_loop().call_soon_threadsafe(_wake, jobs)


def _wake(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if not job.done.done():
            job.done.set_result(None)
