"""The child that is measured: opens an artifact, checks its outputs, warms up, then times blocks on command."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench.adapters.boundary import as_target_error
from bench.core import plugins
from bench.core.cell import Measurement
from bench.core.contracts import Session
from bench.core.job import MeasureJob
from bench.measure.loop import SETTLING_CALLS, time_calls, time_calls_rotating
from bench.monitor.counters import CounterReader
from bench.monitor.memory import peak_memory_bytes

from .protocol import Answer, Say

if TYPE_CHECKING:
    from bench.core.contracts import Batch


class MeasurePerformer:
    """Answers open, check, warm, block, distinct and finish, in that order."""

    def __init__(self, job: MeasureJob) -> None:
        self._job = job
        self._session: Session | None = None
        self._pool: Sequence[Batch] = ()
        self._bound: list[Callable[[], Any]] = []
        self._counters = CounterReader()

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Do one verb; each names its phases through `say`."""
        verbs: Mapping[str, Callable[[Mapping[str, Any], Say], Answer]] = {
            "open": self._open,
            "check": self._check,
            "warm": self._warm,
            "block": self._block,
            "distinct": self._distinct,
            "finish": self._finish,
        }
        with as_target_error(f"{verb} of {self._job.cell.id}"):
            return verbs[verb](body, say)

    def _open(self, body: Mapping[str, Any], say: Say) -> Answer:
        say("import")
        started = time.perf_counter()
        variant = self._job.cell.variant
        adapter = plugins.load("adapters", variant.adapter)  # sets what its framework reads at import
        for package in plugins.lookup("adapters", variant.adapter).needs:
            importlib.import_module(package)
        imported = time.perf_counter()
        say("load")
        options = adapter.Options(**dict(variant.adapter_options))
        self._session = adapter.open(self._job.artifact, threads=self._job.cell.limits.threads, options=options)
        loaded = time.perf_counter()
        say("first call")
        self._pool = _read_pool(self._job.pool_path)
        self._bound = [self._session.bind(batch) for batch in self._pool]
        first_call_ns = time_calls(self._bound[0], 1)[0]
        return {
            "import_s": imported - started,
            "load_s": loaded - imported,
            "first_call_ms": first_call_ns / 1e6,
            "compile_s": self._session.compile_s,
            "versions": dict(self._session.versions),
            "provider": self._session.provider,
            "inputs": len(self._pool),
        }

    def _check(self, body: Mapping[str, Any], say: Say) -> Answer:
        from .checking import predict_labelled, write_outputs

        session = self._opened()
        say("check")
        write_outputs(session, self._pool, Path(self._job.outputs_path))
        if self._job.labelled_path:
            say("accuracy")
            predict_labelled(session, self._job)
        return {
            "outputs_path": self._job.outputs_path,
            "predictions_path": self._job.predictions_path if self._job.labelled_path else "",
        }

    def _warm(self, body: Mapping[str, Any], say: Say) -> Answer:
        from bench.measure.warm_up import warm_up

        say("warm-up")
        measurement = msgspec.convert(body["measurement"], Measurement)
        warmth = warm_up(self._bound if body["rotate"] else self._bound[:1], measurement)
        return {
            "warm_up_s": warmth.elapsed_ns / 1e9,
            "estimate_ns": warmth.estimate_ns,
            "settled": warmth.settled,
        }

    def _block(self, body: Mapping[str, Any], say: Say) -> Answer:
        calls = body["calls"]
        first = -SETTLING_CALLS % len(self._bound)  # so that the first call that counts is that of input 0
        in_turn = [*self._bound[first:], *self._bound[:first]]
        self._counters.start()
        started_ns = time.perf_counter_ns()
        if body["rotate"]:
            latencies_ns = time_calls_rotating(in_turn, calls)
        else:
            latencies_ns = time_calls(self._bound[0], calls)
        wall_ns = time.perf_counter_ns() - started_ns
        counters = self._counters.stop()
        return {
            "latencies_ns": latencies_ns,
            "settling_calls": SETTLING_CALLS,
            "wall_ns": wall_ns,
            "counters": msgspec.to_builtins(counters),
        }

    def _distinct(self, body: Mapping[str, Any], say: Say) -> Answer:
        """One call of each input but the first: first visits, unless outputs were checked or blocks changed inputs."""
        calls = [*self._bound[:1] * SETTLING_CALLS, *self._bound[1:]]
        return {"latencies_ns": time_calls_rotating(calls, len(calls))[SETTLING_CALLS:]}

    def _finish(self, body: Mapping[str, Any], say: Say) -> Answer:
        say("close")
        answer = {"peak_memory_bytes": peak_memory_bytes(os.getpid()), "cpu_ids": sorted(os.sched_getaffinity(0))}
        self._opened().close()
        return answer

    def _opened(self) -> Session:
        if self._session is None:
            raise RuntimeError("asked before open")
        return self._session


def _read_pool(path: str) -> Sequence[Batch]:
    from bench.zoo.inputs import read_pool

    return read_pool(Path(path))
