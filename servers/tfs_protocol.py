"""Our own server of TensorFlow Serving's public protocol, over gRPC or REST: any variant that an adapter can open."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from bench.core.serving import IDENTITY_PATH, Description, Endpoint, Probe, Process, Service, Site

from .tfs.batching_file import write_batching_parameters
from .tfs.bench_config import BenchConfig, write_bench_config
from .tfs.service_file import write_service

_NOTES = ("tfs_protocol: our own server of TensorFlow Serving's protocol, in Python; it is not TensorFlow Serving.",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """With `max_batch` above 1, requests wait at most `batch_delay_ms` for others to be answered by the same call.

    `compression` is for the two REST encodings.
    """

    encoding: Literal["kserve_grpc", "tfs_columns", "tfs_grpc", "tfs_row"] = "tfs_grpc"
    max_batch: int = 1
    batch_delay_ms: float = 0.0
    keep_alive: bool = True
    compression: Literal["none", "gzip"] = "none"

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ValueError("max_batch is at least 1")
        if not 0 <= self.batch_delay_ms <= 60_000:
            raise ValueError("batch_delay_ms is from 0 to 60000")
        if self.compression != "none" and self.encoding.endswith("_grpc"):
            raise ValueError("compression goes with tfs_row and tfs_columns, not with gRPC")


class TfsProtocol:
    """One server process with one model."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """None: the packages that it needs are named in its table line."""
        return ()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """A model repository with one version, and the server over it."""
        directory = site.directory / "tfs"
        version = directory / "models" / service.model / "1"
        version.mkdir(parents=True)
        write_service(version, service)
        write_bench_config(
            directory / "bench.json", config := BenchConfig(nonce=site.nonce, counters_dir=str(site.counters_dir))
        )
        grpc_port, rest_port = site.free_port(), site.free_port()
        flags = [
            f"--port={grpc_port}",
            f"--rest_api_port={rest_port}",
            f"--model_name={service.model}",
            f"--model_base_path={version.parent}",
            # For SavedModels that come later: TensorFlow sizes its pools once per process.
            f"--tensorflow_intra_op_parallelism={service.threads}",
            "--enable_serialization_as_tensor_content=true",
            f"--bench_config={directory / 'bench.json'}",
            *_batching(directory, options, config.max_waiting),
        ]
        is_grpc = options.encoding.endswith("_grpc")
        return Description(
            processes=(
                Process(
                    name="tfs",
                    role="server",
                    argv=(sys.executable, "-m", "servers.tfs.server", *flags),
                    ready=Probe(kind="http", port=rest_port, path=IDENTITY_PATH, expects=site.nonce),
                ),
            ),
            endpoint=Endpoint(
                protocol="grpc" if is_grpc else "http",
                port=grpc_port if is_grpc else rest_port,
                encoding=options.encoding,
                model=service.model,
                keep_alive=options.keep_alive,
                compression=options.compression,
                identity_port=rest_port,
            ),
            notes=_NOTES,
        )


def _batching(directory: Path, options: Options, max_waiting: int) -> tuple[str, ...]:
    if options.max_batch == 1:
        return ()
    write_batching_parameters(
        directory / "batching.txt",
        max_batch=options.max_batch,
        delay_ms=options.batch_delay_ms,
        max_enqueued_batches=math.ceil(max_waiting / options.max_batch),
        threads=1,
    )
    return ("--enable_batching=true", f"--batching_parameters_file={directory / 'batching.txt'}")
