"""Triton: NVIDIA's inference server, with the model in its Python backend on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bench.core.errors import TargetError
from bench.core.serving import LOOPBACK, Description, Endpoint, Probe, Process, Service, Site

from .tritonserver import environment
from .tritonserver.repository import Serving, write_repository

_EXIT_S = 5  # how long Triton waits for requests on their way before it leaves
_NOTES = (
    "triton: the model runs on ONNX Runtime in Triton's Python backend; this Triton has no native backend for ONNX.",
    "triton: no times from within the server: its answers carry none.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """With `max_batch` above 1 Triton collects requests for at most `batch_delay_ms`; `instances` are processes, each
    with the model and the threads of the limits."""

    encoding: Literal["kserve", "kserve_binary", "kserve_grpc"] = "kserve_binary"
    max_batch: int = 1
    batch_delay_ms: float = 0.0
    instances: int = 1

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ValueError(f"max_batch is {self.max_batch}, at least 1 sample is a batch")
        if not 1 <= self.instances <= 256:
            raise ValueError(f"instances is {self.instances}, it must be from 1 to 256")
        if not 0 <= self.batch_delay_ms <= 10_000:
            raise ValueError(f"batch_delay_ms is {self.batch_delay_ms}, it must be from 0 to 10000")
        if self.batch_delay_ms and self.max_batch == 1:
            raise ValueError("batch_delay_ms waits for a batch, and max_batch is 1: raise it, or leave the delay out")


class Triton:
    """One Triton server with one model, whose name holds the nonce: another server does not know it."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """Another format than ONNX, or no Triton here."""
        if format != "onnx":
            return (f"Triton serves onnx here, not {format}: serve a variant that ends in onnx",)
        return environment.blockers()

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """A model repository and the server over it; TargetError when Triton cannot serve the model as asked."""
        provider = dict(service.adapter_options).get("provider", "cpu")
        if service.adapter != "onnxruntime" or provider != "cpu":
            raise TargetError(
                f"Triton runs ONNX Runtime on the CPU here, not {service.adapter} on {provider}",
                hint="serve a variant of adapter onnxruntime with provider cpu",
            )
        serving = Serving(
            name=f"{service.model}-{site.nonce}",
            max_batch=options.max_batch,
            batch_delay_ms=options.batch_delay_ms,
            instances=options.instances,
        )
        repository = site.directory / "triton"
        write_repository(repository, service, serving, environment.directory())
        http_port, grpc_port = site.free_port(), site.free_port()
        is_grpc = options.encoding == "kserve_grpc"
        endpoint = Endpoint(
            protocol="grpc" if is_grpc else "http",
            port=grpc_port if is_grpc else http_port,
            encoding=options.encoding,
            model=serving.name,
            tells_stamps=False,
        )
        server = Process(
            name="triton",
            role="server",
            argv=(str(environment.program()), *_flags(repository, http_port, grpc_port)),
            ready=Probe(kind="http", port=http_port, path=f"/v2/models/{serving.name}/ready"),
            environment=tuple(sorted(environment.variables().items())),
        )
        return Description(processes=(server,), endpoint=endpoint, notes=_NOTES)


def _flags(repository: Any, http_port: int, grpc_port: int) -> tuple[str, ...]:
    return (
        f"--model-repository={repository}",
        f"--backend-directory={environment.backends()}",
        f"--http-address={LOOPBACK}",
        f"--http-port={http_port}",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
        "--disable-auto-complete-config",
        "--log-info=false",
        f"--exit-timeout-secs={_EXIT_S}",
    )
