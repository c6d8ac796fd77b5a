"""The processes of a front and its workers."""

from __future__ import annotations

import sys

from bench.core.serving import Probe, Process, Site

from .config import FrontConfig, write_front_config

#: Path, followed by a worker's number, at which a front answers 200 with the worker's identity while it is there.
WORKERS_PATH = "/bench/workers/"


def front_processes(config: FrontConfig, site: Site) -> tuple[Process, ...]:
    """The front, then each worker, ready once the front knows it."""
    path = site.directory / "front.json"
    write_front_config(path, config)
    front = Process(
        name="front",
        role="front",
        argv=(sys.executable, "-m", "servers.front.server", str(path)),
        ready=Probe(kind="tcp", port=config.server.port),
    )
    workers = (
        Process(
            name=f"worker-{number}",
            role="server",
            argv=(sys.executable, "-m", "servers.front.worker", str(path), str(number)),
            ready=Probe(
                kind="http", port=config.server.port, path=f"{WORKERS_PATH}{number}", expects=config.server.nonce
            ),
        )
        for number in range(config.workers)
    )
    return (front, *workers)
