"""Loads on a deployment: one call each, from what is wanted to a point with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.core.cell import Serving
from bench.core.errors import MatrixError
from bench.core.requests import DISCONNECTED, MALFORMED, TIMED_OUT, Requests, read_requests
from bench.core.served import LoadPoint
from bench.load import Arrivals, offsets_ns
from bench.measure.served.columns import is_answered
from bench.measure.served.latency import Load
from bench.measure.served.server_validity import ClientCounts
from bench.measure.served.validity import judged_point

from .deployment import Deployment

#: Requests per second that one process of the load generator can be trusted with.
_RATE_PER_PROCESS = 15_000.0
_CHECKED_PER_LOAD = 200  # answers that are looked at
_HTTP_CONNECTIONS = 512  # each carries one request at a time; gRPC carries any number on a few
_GRACE_S = 30.0  # for what the client does besides: connecting, judging the answers, writing the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A load that was put on a server: its point, its requests, and where they are stored."""

    point: LoadPoint
    requests: Requests
    path: Path
    problem: str  # what was wrong with the first wrong answer; empty when none was


class Loads:
    """Puts loads on one deployment; the files of requests go into `directory` and are numbered."""

    def __init__(self, deployment: Deployment, serving: Serving, directory: Path, *, seed: int) -> None:
        self._deployment = deployment
        self._serving = serving
        self._directory = directory
        self._seed = seed
        self._loads = 0
        self.sent = 0
        self.answered = 0
        self.unanswered = 0

    def closed(
        self,
        concurrency: int,
        *,
        duration_s: float | None = None,
        inputs: Sequence[int] | None = None,
        max_requests: int | None = None,
        checked: bool = False,
    ) -> Loaded:
        """So many callers, each of whom waits for its answer; ends after a time or a number of requests.

        `checked`: a share of the answers is looked at.
        """
        limit_s = self._serving.point_max_s if duration_s is None else duration_s
        body = {
            "concurrency": concurrency,
            "duration_s": limit_s,
            "inputs": None if inputs is None else list(inputs),
            "max_requests": max_requests,
            "timeout_s": self._serving.timeout_s,
            "keep_every": _keep_every(max_requests or 0) if checked else 0,
        }
        return self._put("closed", body, limit_s, Load(kind="closed", concurrency=concurrency, **self._goal))

    def open(self, arrivals: Arrivals, *, x_max_per_s: float | None) -> Loaded:
        """Requests that wait for nobody, a share of their answers looked at.

        MatrixError when a trace cannot be used, or has no request in its time.
        """
        offsets = offsets_ns(arrivals)
        if not len(offsets):
            raise MatrixError(
                f"{arrivals.trace_path or arrivals.kind}: no request is due within {self._serving.point_max_s:g} s",
                hint="let the trace begin at 0, or raise serving.point_max_s",
            )
        expected_s = float(offsets[-1]) / 1e9
        fastest_per_s = max(arrivals.rate_per_s, arrivals.end_rate_per_s) or len(offsets) / max(expected_s, 1.0)
        processes = math.ceil(fastest_per_s / _RATE_PER_PROCESS)
        body = {
            "arrivals": msgspec.to_builtins(arrivals),
            "timeout_s": self._serving.timeout_s,
            "keep_every": _keep_every(len(offsets)),
            "input_seed": self._seed + 1,
            "processes": min(max(1, processes), self._deployment.client_cpus),
            "max_connections": _HTTP_CONNECTIONS,
        }
        ratio = fastest_per_s / x_max_per_s if x_max_per_s else None
        load = Load(kind=arrivals.kind, load_ratio=ratio, connections=self._connections, **self._goal)
        return self._put("open", body, expected_s, load)

    @property
    def _connections(self) -> int | None:
        """How many requests the client can have under way at once; None without limit."""
        description = self._deployment.description
        return _HTTP_CONNECTIONS if description is not None and description.endpoint.protocol == "http" else None

    @property
    def _goal(self) -> dict[str, Any]:
        return {"slo_ms": self._serving.slo_ms, "error_budget_ratio": self._serving.error_budget_ratio}

    def _put(self, verb: str, body: dict[str, Any], expected_s: float, load: Load) -> Loaded:
        path = self._directory / f"requests.{self._loads}.npz"
        self._loads += 1
        # The last tenth of a drain may be spent on requests that time out one after the other.
        deadline_s = 3 * expected_s + 2 * self._serving.timeout_s + _GRACE_S
        before_ns = self._deployment.server_cpu_ns()
        told = self._deployment.ask(verb, {**body, "requests_path": str(path)}, deadline_s=deadline_s)
        after_ns = self._deployment.server_cpu_ns()
        used_s = None if before_ns is None or after_ns is None else (after_ns - before_ns) / 1e9
        requests = read_requests(path)
        self.sent += int((requests.sent_ns > 0).sum())
        self.answered += int(is_answered(requests).sum())
        self.unanswered += int(np.isin(requests.status, (TIMED_OUT, DISCONNECTED, MALFORMED)).sum())
        load = replace(load, duplicates=told["unsolicited"], server_cpu_s=used_s, client_cpu_s=told["cpu_s"])
        return Loaded(point=judged_point(requests, load), requests=requests, path=path, problem=told["problem"])

    def note_checked(self, requests: int) -> None:
        """Requests that the client sent besides loads, all of them answered."""
        self.sent += requests
        self.answered += requests

    @property
    def counts(self) -> ClientCounts:
        """What all loads of this deployment have sent and got."""
        return ClientCounts(sent=self.sent, answered=self.answered, unanswered=self.unanswered)


def _keep_every(requests: int) -> int:
    """Of every so many answers one is looked at."""
    return max(1, requests // _CHECKED_PER_LOAD)
