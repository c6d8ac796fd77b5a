"""How calls of many threads reach a session that takes one at a time: in turn, or gathered into batches.

A turn is handed over to the caller that has waited longest; an idle model is entered without changing threads.
Batches are formed as TensorFlow's batch scheduler forms them: one is due when it is full, or when its first call has
waited for the time-out. Calls whose tensors differ in more than the number of samples never share a batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .status import StatusError
from .text_files import BatchingParameters

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

Run = Callable[["Batch"], "Mapping[str, Array]"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """Outputs by name, and when the model began and ended, in ns of CLOCK_MONOTONIC."""

    outputs: Mapping[str, Array]
    started_ns: int
    inferred_ns: int


class Runner(Protocol):
    """Calls a model for many threads."""

    def run(self, batch: Batch, is_wanted: Callable[[], bool]) -> Ran:
        """Wait for the model and call it; StatusError when too many wait, or nobody wants the answer any more."""
        ...

    def close(self) -> None:
        """Take no more calls; none is under way."""
        ...


class Turns:
    """One call after the other, in the order in which they came; at most `max_waiting` wait."""

    def __init__(self, run: Run, max_waiting: int) -> None:
        self._run = run
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._is_busy = False
        self._waiting: deque[threading.Lock] = deque()

    def run(self, batch: Batch, is_wanted: Callable[[], bool]) -> Ran:
        """Wait for the model and call it."""
        self._enter()
        try:
            require_wanted(is_wanted)
            return timed(self._run, batch)
        finally:
            self._leave()

    def close(self) -> None:
        """Nothing is kept."""

    def _enter(self) -> None:
        with self._lock:
            if not self._is_busy:
                self._is_busy = True
                return
            if len(self._waiting) >= self._max_waiting:
                raise StatusError("RESOURCE_EXHAUSTED", f"{self._max_waiting} calls are waiting for the model already")
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_busy = False


def require_wanted(is_wanted: Callable[[], bool]) -> None:
    """StatusError when the caller has gone or its deadline is over: the model is not called for nobody."""
    if not is_wanted():
        raise StatusError("CANCELLED", "nobody waits for the answer any more")


def timed(run: Run, batch: Batch) -> Ran:
    """One call with its times."""
    started_ns = time.perf_counter_ns()
    outputs = run(batch)
    return Ran(outputs=outputs, started_ns=started_ns, inferred_ns=time.perf_counter_ns())


@dataclass(kw_only=True, slots=True, eq=False)
class _Task:
    batch: Batch
    size: int
    is_wanted: Callable[[], bool]
    queued_s: float
    done: threading.Event = field(default_factory=threading.Event)
    ran: Ran | None = None
    error: BaseException | None = None


class Batches:
    """Calls that wait together are answered by one; `observe` is told the size of each batch."""

    def __init__(
        self,
        run: Run,
        parameters: BatchingParameters,
        observe: Callable[[int], None],
    ) -> None:
        self._run = run
        self._parameters = parameters
        self._observe = observe
        self._turn = threading.Lock()  # of the session
        self._changed = threading.Condition()
        self._queues: dict[object, deque[_Task]] = {}
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(max(parameters.num_batch_threads, 1))
        ]
        for thread in self._threads:
            thread.start()

    def run(self, batch: Batch, is_wanted: Callable[[], bool]) -> Ran:
        """Queue the call and wait for its part of a batch's answer."""
        size, largest = _size(batch), self._parameters.max_batch_size
        if size <= largest:
            return self._run_part(batch, size, is_wanted)
        if not self._parameters.enable_large_batch_splitting:
            raise StatusError("INVALID_ARGUMENT", f"Task size {size} is larger than maximum input batch size {largest}")
        parts = [
            self._run_part(
                {name: array[start : start + largest] for name, array in batch.items()},
                min(largest, size - start),
                is_wanted,
            )
            for start in range(0, size, largest)
        ]
        outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in parts[0].outputs}
        return Ran(outputs=outputs, started_ns=parts[0].started_ns, inferred_ns=parts[-1].inferred_ns)

    def close(self) -> None:
        """End the threads; nothing is queued any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # ---------------------------------------------------------------------------------------------------- the queues

    def _run_part(self, batch: Batch, size: int, is_wanted: Callable[[], bool]) -> Ran:
        task = _Task(batch=batch, size=size, is_wanted=is_wanted, queued_s=time.monotonic())
        self._queue(task)
        task.done.wait()
        if task.error is not None:
            raise task.error
        assert task.ran is not None  # noqa: S101  it is done without an error
        return task.ran

    def _queue(self, task: _Task) -> None:
        key = tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(task.batch.items()))
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            waiting = sum(each.size for each in queue) + task.size
            if waiting > self._parameters.max_batch_size * self._parameters.max_enqueued_batches:
                raise StatusError("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
            queue.append(task)
            self._changed.notify()

    def _work(self) -> None:
        while tasks := self._next_batch():
            wanted = []
            for task in tasks:
                try:
                    require_wanted(task.is_wanted)
                    wanted.append(task)
                except StatusError as error:
                    task.error = error
                    task.done.set()
            if wanted:
                self._answer(wanted)

    def _next_batch(self) -> list[_Task]:
        """The calls of the batch that is due next; empty when it is time to leave."""
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                due = {key: self._due_s(queue) for key, queue in self._queues.items() if queue}
                if due:
                    key = min(due, key=lambda each: due[each])
                    if due[key] <= now:
                        return self._taken(key)
                self._changed.wait(min(due.values()) - now if due else None)
        return []

    def _due_s(self, queue: deque[_Task]) -> float:
        is_full = sum(task.size for task in queue) >= self._parameters.max_batch_size
        return queue[0].queued_s + (0.0 if is_full else self._parameters.batch_timeout_us / 1e6)

    def _taken(self, key: object) -> list[_Task]:
        queue, tasks, size = self._queues[key], [], 0
        while queue and size + queue[0].size <= self._parameters.max_batch_size:
            size += queue[0].size
            tasks.append(queue.popleft())
        if not queue:
            del self._queues[key]
        return tasks

    # ----------------------------------------------------------------------------------------------------- the model

    def _answer(self, tasks: list[_Task]) -> None:
        try:
            joined, size = self._joined(tasks)
            with self._turn:
                ran = timed(self._run, joined)
            _split(ran, tasks, size)
        except BaseException as error:  # noqa: BLE001  every caller is told, whatever it was
            for task in tasks:
                task.error = error
        for task in tasks:
            task.done.set()

    def _joined(self, tasks: list[_Task]) -> tuple[Batch, int]:
        """One batch of all calls, and its size; filled up to an allowed size with copies of a sample."""
        size = sum(task.size for task in tasks)
        self._observe(size)
        padding = next((allowed for allowed in self._parameters.allowed_batch_sizes if allowed >= size), size) - size
        if len(tasks) == 1 and not padding:
            return tasks[0].batch, size
        joined = {}
        for name, first in tasks[0].batch.items():
            parts = [task.batch[name] for task in tasks]
            joined[name] = np.concatenate([*parts, *[first[:1]] * padding])
        return joined, size + padding


def _size(batch: Batch) -> int:
    sizes = {len(array) if array.ndim else -1 for array in batch.values()}
    if len(sizes) != 1 or -1 in sizes:
        raise StatusError("INVALID_ARGUMENT", "with batching, all inputs must have the same first dimension")
    return sizes.pop()


def _split(ran: Ran, tasks: list[_Task], size: int) -> None:
    for name, array in ran.outputs.items():
        if not array.ndim or len(array) != size:
            raise StatusError("INTERNAL", f"output {name!r} has not one row per sample: its batches cannot be split")
    start = 0
    for task in tasks:
        stop = start + task.size
        outputs = {name: array[start:stop] for name, array in ran.outputs.items()}
        task.ran = Ran(outputs=outputs, started_ns=ran.started_ns, inferred_ns=ran.inferred_ns)
        start = stop
