"""A topology whose server misbehaves on request, for the faults that a served cell must survive and name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.core.plugins import PluginSpec
from bench.core.serving import IDENTITY_PATH, Description, Endpoint, Probe, Process, Service, Site
from servers.config import ServerConfig, write_config

SPEC = PluginSpec(name="faulty", target=f"{__name__}:Faulty", summary="a test's")


@dataclass(frozen=True, kw_only=True)
class Options:
    """`fault` is a word of `faulty_server`; `at` the request (from 1) or the second at which it happens."""

    fault: str = "none"
    at: float = 0.0


class Faulty:
    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        return ("it is not installed: apt-get install nothing",) if options.fault == "blocked" else ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        if options.fault == "bug":
            raise KeyError("a bug of the topology")
        port = site.free_port()
        path = site.directory / "server.json"
        write_config(
            path, ServerConfig(service=service, nonce=site.nonce, counters_dir=str(site.counters_dir), port=port)
        )
        program = str(Path(__file__).with_name("faulty_server.py"))
        ready = Probe(kind="http", port=port, path=IDENTITY_PATH, expects="nonce", deadline_s=1.0)
        server = Process(
            name="server",
            role="server",
            argv=(sys.executable, program, str(path), options.fault, str(options.at)),
            environment=(("PYTHONPATH", str(Path(__file__).parents[2])),),
            ready=ready,
        )
        endpoint = Endpoint(protocol="http", port=port, encoding="json", model=service.model, identity_port=port)
        return Description(processes=(server,), endpoint=endpoint)
