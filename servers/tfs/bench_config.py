"""What the harness tells this server and TensorFlow Serving's flags have no word for: one JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.core.errors import MatrixError
from bench.core.files import write_atomic
from bench.core.serving import MAX_BODY_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """`nonce` proves who answers; `counters_dir` is where counters are kept, empty for nowhere.

    `max_waiting`: calls that may wait for a model; further ones are refused at once.
    """

    nonce: str = ""
    counters_dir: str = ""
    max_waiting: int = 256
    max_body_bytes: int = MAX_BODY_BYTES


def write_bench_config(path: Path, config: BenchConfig) -> None:
    """Write the file that `read_bench_config` reads."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(config)))


def read_bench_config(path: Path | None) -> BenchConfig:
    """The configuration in a file, the defaults without one; MatrixError says what is wrong in it."""
    if path is None:
        return BenchConfig()
    try:
        return msgspec.json.decode(path.read_bytes(), type=BenchConfig)
    except (OSError, msgspec.MsgspecError) as error:
        raise MatrixError(f"{path}: not a file for --bench_config: {error}") from error
