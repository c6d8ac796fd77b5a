"""What a server process of ours is told: one JSON file, its only argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.core.artifact import TensorSpec
from bench.core.files import write_atomic
from bench.core.serving import LOOPBACK, MAX_BODY_BYTES, Service


@dataclass(frozen=True, kw_only=True, slots=True)
class Batching:
    """Requests that wait together are answered by one call: at most `max_batch` samples, collected for `delay_ms`."""

    max_batch: int
    delay_ms: float


def can_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether the first axis of all tensors is the same dynamic dimension, so that samples can be put together."""
    first = {spec.shape[0] if spec.shape else 0 for spec in (*inputs, *outputs)}
    return len(first) == 1 and isinstance(first.pop(), str)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """A server that holds the model, or a front before such servers.

    `max_waiting`: requests that may wait for the model; further ones are refused at once (503, RESOURCE_EXHAUSTED).
    `address` names the abstract Unix socket or the queue between a front and its workers, where there is one, and
    `secret` is its password: unlike the nonce, nobody is told.
    """

    service: Service
    nonce: str
    counters_dir: str
    port: int
    host: str = LOOPBACK
    batching: Batching | None = None
    max_body_bytes: int = MAX_BODY_BYTES
    max_waiting: int = 256
    max_connections: int = 1024
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    address: str = ""
    secret: str = ""


def write_config(path: Path, config: ServerConfig) -> None:
    """Write the file that `read_config` reads."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(config)))


def read_config(path: Path) -> ServerConfig:
    """The configuration in a file."""
    return msgspec.json.decode(path.read_bytes(), type=ServerConfig)
