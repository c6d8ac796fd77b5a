"""What a front and its workers are told: one JSON file for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from bench.core.files import write_atomic
from servers.config import ServerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontConfig:
    """`server.address` is where front and workers meet: an abstract Unix socket's name, or a broker's port.

    `timeout_s`: a request that was not answered for so long is answered with 504, and dropped where it waits.
    """

    server: ServerConfig
    transport: Literal["rabbitmq", "redis", "shared_memory"]
    workers: int
    timeout_s: float = 60.0


def write_front_config(path: Path, config: FrontConfig) -> None:
    """Write the file that `read_front_config` reads."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(config)))


def read_front_config(path: Path) -> FrontConfig:
    """The configuration in a file."""
    return msgspec.json.decode(path.read_bytes(), type=FrontConfig)
