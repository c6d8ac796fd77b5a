"""What all topologies share that are asked over HTTP: options, the server process, the endpoint."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal

from bench.core.serving import IDENTITY_PATH, Endpoint, Probe, Process, Service, Site

from .config import Batching, ServerConfig, can_batch, write_config

HttpEncoding = Literal["binary", "npy", "json", "kserve", "kserve_binary", "tfs_row", "tfs_columns"]


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """`encoding` is how tensors travel (`bench.wire`). Requests that wait together are answered by one call of at most
    `max_batch` samples, collected for `batch_delay_ms`; with 1 each request is a call. `keep_alive` keeps connections
    open, `compression` packs requests and answers."""

    encoding: HttpEncoding = "binary"
    max_batch: int = 1
    batch_delay_ms: float = 0.0
    keep_alive: bool = True
    compression: Literal["none", "gzip"] = "none"

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ValueError(f"max_batch is {self.max_batch}, at least 1 sample is a batch")
        if not (math.isfinite(self.batch_delay_ms) and 0 <= self.batch_delay_ms <= 10_000):
            raise ValueError(f"batch_delay_ms is {self.batch_delay_ms}, it must be from 0 to 10000")
        if self.batch_delay_ms and self.max_batch == 1:
            raise ValueError("batch_delay_ms waits for a batch, and max_batch is 1: raise it, or leave the delay out")


def batching(options: HttpOptions) -> Batching | None:
    """As servers are told it."""
    if options.max_batch == 1:
        return None
    return Batching(max_batch=options.max_batch, delay_ms=options.batch_delay_ms)


def server_process(name: str, service: Service, options: HttpOptions, site: Site) -> Process:
    """A server with the model, ready once it names the site's nonce; its configuration is written."""
    config = ServerConfig(
        service=service,
        nonce=site.nonce,
        counters_dir=str(site.counters_dir),
        port=site.free_port(),
        batching=batching(options),
    )
    path = site.directory / f"{name}.json"
    write_config(path, config)
    return Process(
        name=name,
        role="server",
        argv=(sys.executable, "-m", "servers.http_server", str(path)),
        ready=Probe(kind="http", port=config.port, path=IDENTITY_PATH, expects=site.nonce),
    )


def endpoint(options: HttpOptions, *, model: str, port: int, identity_port: int) -> Endpoint:
    """Whom to ask."""
    return Endpoint(
        protocol="http",
        port=port,
        encoding=options.encoding,
        model=model,
        keep_alive=options.keep_alive,
        compression=options.compression,
        identity_port=identity_port,
    )


def batching_notes(options: HttpOptions, service: Service) -> tuple[str, ...]:
    """What to know where requests cannot be put together."""
    if options.max_batch == 1 or can_batch(service.artifact.inputs, service.artifact.outputs):
        return ()
    return (f"max_batch {options.max_batch} changes nothing: the tensors of this model do not share a free first axis",)
