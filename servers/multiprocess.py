"""Several processes with the model on one machine, and two ways to spread the load over them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bench.core.plugins import install_hint
from bench.core.serving import IDENTITY_PATH, Description, Probe, Process, Service, Site

from .config import ServerConfig, write_config
from .front.config import FrontConfig
from .front.processes import front_processes
from .http_topology import HttpOptions, batching, batching_notes, endpoint

_GRACE_S = 2  # for requests under way when the server ends
_START_DEADLINE_S = 120.0  # as many models are loaded at once as there are workers
#: Where gunicorn's workers find their configuration.
CONFIG_VARIABLE = "DEPLOYBENCH_SERVER_CONFIG"

_REUSE_PORT_NOTE = (
    "multiprocess: the kernel gives each connection to one worker for good, so few connections load the workers"
    " unevenly; see the counts of each worker."
)
_SHARED_MEMORY_NOTE = (
    "multiprocess: a front of one process receives all requests and sends all answers; what it costs is part of the"
    " servers' time."
)


@dataclass(frozen=True, kw_only=True)
class Options(HttpOptions):
    """`workers` processes hold the model, each with the threads of the limits.

    reuse_port: they share a port, and the kernel spreads connections over them (gunicorn restarts one that ends).
    shared_memory: a front takes the requests, and a worker that is idle pulls the next one.
    """

    workers: int = 2
    balance: Literal["reuse_port", "shared_memory"] = "reuse_port"

    def __post_init__(self) -> None:
        HttpOptions.__post_init__(self)
        if not 1 <= self.workers <= 256:
            raise ValueError(f"workers is {self.workers}, it must be from 1 to 256")


class Multiprocess:
    """What people do who have more cores than one process uses."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """Gunicorn's absence, where it is asked for; other packages are named in the table line."""
        if options.balance == "shared_memory":
            return ()
        missing = [name for name in ("gunicorn", "uvicorn_worker") if importlib.util.find_spec(name) is None]
        return (f"{', '.join(missing)} not installed ({install_hint(missing)})",) if missing else ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """Gunicorn over all workers, or a front and each worker on its own."""
        config = ServerConfig(
            service=service,
            nonce=site.nonce,
            counters_dir=str(site.counters_dir),
            port=site.free_port(),
            batching=batching(options),
            address=f"deploybench-{site.nonce}",
        )
        notes = batching_notes(options, service)
        if options.balance == "shared_memory":
            front = FrontConfig(server=config, transport="shared_memory", workers=options.workers)
            processes, notes = front_processes(front, site), (_SHARED_MEMORY_NOTE, *notes)
        else:
            processes, notes = (_gunicorn(config, options.workers, site),), (_REUSE_PORT_NOTE, *notes)
        return Description(
            processes=processes,
            endpoint=endpoint(options, model=service.model, port=config.port, identity_port=config.port),
            notes=notes,
        )


def _gunicorn(config: ServerConfig, workers: int, site: Site) -> Process:
    """Ready once all workers are: the application says who it is no sooner."""
    path = site.directory / "gunicorn.json"
    write_config(path, config)
    words = (
        f"--bind={config.host}:{config.port}",
        f"--workers={workers}",
        "--reuse-port",
        "--worker-class=servers.gunicorn_worker.GuardedWorker",
        f"--worker-tmp-dir={site.directory}",
        "--no-control-socket",
        "--timeout=0",  # a worker that computes for long is no worker that hangs
        f"--graceful-timeout={_GRACE_S}",
        "--log-level=warning",
    )
    return Process(
        name="gunicorn",
        role="server",
        argv=(sys.executable, "-m", "gunicorn", *words, f"servers.gunicorn_worker:application({workers})"),
        ready=Probe(
            kind="http", port=config.port, path=IDENTITY_PATH, expects=config.nonce, deadline_s=_START_DEADLINE_S
        ),
        environment=((CONFIG_VARIABLE, str(path)),),
    )
