"""The port that people choose is the endpoint's, however many other ports a topology takes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from bench.core import plugins
from bench.core.cell import Limits, Tolerance
from bench.core.serving import Description, Endpoint, Probe, Process, Service, Site
from bench.runner.crew import Crew
from bench.runner.deployment import Deployment, Settings
from bench.supervise import Answer
from tests.runner.prepared_cells import prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class _Options:
    pass


class _Balanced:
    """A server, a balancer before it, and a port for its health."""

    Options: ClassVar[type[Any]] = _Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        return ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        (site.directory / "balancer.conf").write_text("once")
        server, front, health = site.free_port(), site.free_port(), site.free_port()
        process = Process(
            name="balancer",
            role="balancer",
            argv=("balancer", f"--to={server}", f"--health={health}"),
            ready=Probe(kind="tcp", port=front),
        )
        return Description(
            processes=(process,), endpoint=Endpoint(protocol="http", port=front, encoding="json", model=service.model)
        )


class _Crew:
    """Everything is ready at once."""

    def hire(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(death=None, pid=1)

    def start(self, *_: Any) -> Any:
        return SimpleNamespace(death=None, pid=2)

    def ask_within(self, child: Any, verb: str, body: Any, *, deadline_s: float) -> Answer:
        return Answer(body={"seen": "", "inputs": 1})

    def dismiss(self, *_: Any, **__: Any) -> None:
        """They are gone."""


@pytest.mark.parametrize("chosen", [None, 12_345])
def test_the_chosen_port_is_the_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: int | None) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: _Balanced)
    settings = Settings(servers_limits=Limits(), clients_limits=Limits(), start_deadline_s=1.0, port=chosen)
    crew = cast("Crew", _Crew())
    with Deployment(crew, prepared("plain"), tmp_path / "served", settings, Tolerance(), name="d") as deployment:
        assert deployment.description is not None
        (process,) = deployment.description.processes
        ports = {deployment.description.endpoint.port, *(int(word.partition("=")[2]) for word in process.argv[1:])}
    assert len(ports) == 3
    assert (deployment.description.endpoint.port == 12_345) is (chosen == 12_345)
    assert process.ready.port == deployment.description.endpoint.port
