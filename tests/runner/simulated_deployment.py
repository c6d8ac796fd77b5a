"""A deployment in arithmetic: real drives on a simulated server, so that what a search must find is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

import msgspec

from bench.core.cell import Limits
from bench.core.requests import write_requests
from bench.core.serving import Description, Endpoint
from bench.load import Arrivals, Drive, SimulatedServer, drive_closed, drive_open, simulated_target
from bench.runner.deployment import Deployment
from servers.counters import WorkerCounts

SERVER_CPU_NS = 2_000_000  # of each load


class SimulatedDeployment:
    """Stands in for `bench.runner.deployment.Deployment`; `server` is what all of them talk to."""

    server = SimulatedServer(service_ns=2_000_000)
    memory_bytes = 50_000_000
    asked: tuple[str, ...] = ()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._settings = arguments[3]
        self._directory: Path = arguments[2]
        self._cpu_ns = 0
        self._received = 0
        self._target = simulated_target(self.server, payloads=4)
        self.start_s = 0.5
        self.description = Description(
            processes=(),
            endpoint=Endpoint(protocol="grpc", port=1, encoding="binary", model="m"),
            notes=("it is simulated",),
        )

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._target.close()

    @property
    def limits(self) -> Limits:
        """Of the servers."""
        return cast("Limits", self._settings.servers_limits)

    def ask(self, verb: str, body: Mapping[str, Any] | None = None, *, deadline_s: float) -> dict[str, Any]:
        """Loads are driven; the answers are always right."""
        body = body or {}
        if verb == "expect":
            return {"inputs": 4}
        drive = self._driven(verb, body)
        self._received += int((drive.requests.sent_ns > 0).sum())
        self._cpu_ns += SERVER_CPU_NS
        write_requests(Path(body["requests_path"]), drive.requests)
        return {"cpu_s": drive.facts.cpu_s, "unsolicited": 0, "problem": ""}

    def check(self, outputs_path: Path, *, deadline_s: float) -> int:
        """Two answers to each of four inputs."""
        self._received += 8
        return 8

    client_cpus = 1

    def _driven(self, verb: str, body: Mapping[str, Any]) -> Drive:
        if verb == "open":
            return drive_open(
                self._target, msgspec.convert(body["arrivals"], Arrivals), timeout_s=body["timeout_s"], input_seed=1
            )
        return drive_closed(
            self._target,
            concurrency=body["concurrency"],
            duration_s=body["duration_s"],
            timeout_s=body["timeout_s"],
            inputs=body["inputs"],
            max_requests=body["max_requests"],
        )

    def counts(self) -> tuple[WorkerCounts, ...]:
        """One worker that answered everything."""
        sent = self._received
        return (WorkerCounts(pid=7, started_ns=1, received=sent, answered=sent, failed=0, refused=0),)

    def server_cpu_ns(self) -> int:
        return self._cpu_ns

    def server_memory_bytes(self) -> int:
        return self.memory_bytes

    def server_processes(self) -> int:
        return 1

    def require_alive(self) -> None:
        """It never dies."""


def as_deployment(kind: type[SimulatedDeployment]) -> type[Deployment]:
    """For the type checker."""
    return cast("type[Deployment]", kind)
