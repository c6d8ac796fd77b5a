"""TensorFlow Serving itself: `tensorflow_model_server`, a program on this machine or in a container image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from bench.core.errors import TargetError
from bench.core.serving import LOOPBACK, Description, Endpoint, Probe, Process, Service, Site

from .tfs.batching_file import write_batching_parameters
from .tfs.model_config import config_text

PROGRAM = "tensorflow_model_server"
PROGRAM_VARIABLE = "TF_MODEL_SERVER"
_ENGINES = ("docker", "podman")
_GET_IT = (
    "install it from TensorFlow Serving's own apt repository (tensorflow.org/tfx/serving/setup), name it in "
    f"${PROGRAM_VARIABLE}, or give a container image: image: tensorflow/serving"
)
_GRPC_PORT, _REST_PORT = 8500, 8501  # inside a container
_CONFIG_DIR = PurePosixPath("/deploybench")
_MODELS_DIR = PurePosixPath("/models")
_MAX_WAITING = 256

_NOTES = (
    "tf_serving: no times from within the server: its answers carry none.",
    "tf_serving: the server is known by the model's name, which holds the nonce of the run.",
)
_PROGRAM_NOTE = "tf_serving: its gRPC port listens on every interface, which cannot be changed; REST likewise."
_IMAGE_NOTE = "tf_serving: limits on processors and memory do not reach into the container; threads are set."


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """With `max_batch` above 1, requests wait at most `batch_delay_ms` for others to be answered by the same call.

    `image` is a container image that holds the program, run by docker or podman; empty for a program on this machine.
    `compression` is for the two REST encodings.
    """

    encoding: Literal["tfs_columns", "tfs_grpc", "tfs_row"] = "tfs_grpc"
    image: str = ""
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
        if self.image.startswith("-"):
            raise ValueError("image is the name of a container image")


class TfServing:
    """One server process with one SavedModel."""

    Options: ClassVar[type[Any]] = Options
    is_in_process: ClassVar[bool] = False

    def blockers(self, format: str, options: Any) -> Sequence[str]:
        """Another format than SavedModel, or no program here."""
        if format != "saved_model":
            return ("tf_serving serves SavedModels only: choose a saved_model variant",)
        if options.image:
            return () if _engine() else (f"no {' and no '.join(_ENGINES)} here to run {options.image}: install one",)
        return () if _program() else (f"{PROGRAM} is not here: {_GET_IT}",)

    def describe(self, service: Service, options: Any, site: Site) -> Description:
        """Its configuration files and its command line; TargetError when it cannot serve the variant as asked."""
        _require_servable(service)
        name = f"{service.model}-{site.nonce[:8]}"
        directory = site.directory / "tf_serving"
        directory.mkdir(parents=True)
        grpc_port, rest_port = site.free_port(), site.free_port()
        if options.image:
            argv = _container(service, options, directory, name, (grpc_port, rest_port))
        else:
            argv = _program_on_host(service, options, directory, name, (grpc_port, rest_port))
        is_grpc = options.encoding.endswith("_grpc")
        return Description(
            processes=(
                Process(
                    name="tf_serving",
                    role="server",
                    argv=argv,
                    ready=Probe(kind="http", port=rest_port, path=f"/v1/models/{name}", expects='"AVAILABLE"'),
                ),
            ),
            endpoint=Endpoint(
                protocol="grpc" if is_grpc else "http",
                port=grpc_port if is_grpc else rest_port,
                encoding=options.encoding,
                model=name,
                keep_alive=options.keep_alive,
                compression=options.compression,
                tells_stamps=False,
            ),
            network="host" if options.image else "private",  # a container's ports are published on the host's
            does_all_work=not options.image,  # the engine's daemon is no descendant
            listens_everywhere=not options.image,  # its gRPC does
            notes=(*_NOTES, _IMAGE_NOTE if options.image else _PROGRAM_NOTE),
        )


def _require_servable(service: Service) -> None:
    if service.adapter != "tensorflow":
        raise TargetError(
            f"TensorFlow Serving runs TensorFlow, not {service.adapter}", hint="serve a variant of adapter tensorflow"
        )
    for spec in (*service.artifact.inputs, *service.artifact.outputs):
        if spec.native_name != spec.name:
            raise TargetError(
                f"its signature calls {spec.native_name!r} what is called {spec.name!r} here, and requests are "
                "written with the names of the latter",
                hint="export the model with tensors of these names, or use the topology tfs_protocol",
            )


def _program() -> str | None:
    named = os.environ.get(PROGRAM_VARIABLE)
    return shutil.which(named) if named else shutil.which(PROGRAM)


def _engine() -> str | None:
    return next(filter(None, map(shutil.which, _ENGINES)), None)


def _program_on_host(
    service: Service, options: Options, directory: Path, name: str, ports: tuple[int, int]
) -> tuple[str, ...]:
    program = _program()
    if program is None:
        raise TargetError(f"{PROGRAM} is not here", hint=_GET_IT)
    base_path = directory / "models" / name
    base_path.mkdir(parents=True)
    (base_path / "1").symlink_to(Path(service.artifact.path).resolve(), target_is_directory=True)
    _write_files(directory, options, name, base_path)
    return (program, *_flags(service, options, directory, ports))


def _container(
    service: Service, options: Options, directory: Path, name: str, ports: tuple[int, int]
) -> tuple[str, ...]:
    """The ports of the container are published on loopback only."""
    engine = _engine()
    if engine is None:
        raise TargetError(f"neither {' nor '.join(_ENGINES)} is here", hint="install one of them")
    _write_files(directory, options, name, _MODELS_DIR / name)
    version = _MODELS_DIR / name / "1"
    return (
        engine, "run", "--rm", "--init", f"--name=deploybench-{name}",
        f"--publish={LOOPBACK}:{ports[0]}:{_GRPC_PORT}",
        f"--publish={LOOPBACK}:{ports[1]}:{_REST_PORT}",
        f"--mount=type=bind,source={Path(service.artifact.path).resolve()},target={version},readonly",
        f"--mount=type=bind,source={directory},target={_CONFIG_DIR},readonly",
        f"--entrypoint={PROGRAM}",
        options.image,
        *_flags(service, options, _CONFIG_DIR, (_GRPC_PORT, _REST_PORT)),
    )  # fmt: skip


def _write_files(directory: Path, options: Options, name: str, base_path: PurePosixPath | Path) -> None:
    (directory / "models.config").write_text(config_text([(name, base_path)]), encoding="utf-8")
    (directory / "monitoring.config").write_text(
        'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n', encoding="utf-8"
    )
    if options.max_batch > 1:
        write_batching_parameters(
            directory / "batching.config",
            max_batch=options.max_batch,
            delay_ms=options.batch_delay_ms,
            max_enqueued_batches=-(-_MAX_WAITING // options.max_batch),
            threads=1,
        )


def _flags(
    service: Service, options: Options, config_dir: PurePosixPath | Path, ports: tuple[int, int]
) -> tuple[str, ...]:
    flags = [
        f"--port={ports[0]}",
        f"--rest_api_port={ports[1]}",
        f"--model_config_file={config_dir / 'models.config'}",
        f"--monitoring_config_file={config_dir / 'monitoring.config'}",
        f"--tensorflow_intra_op_parallelism={service.threads}",
        "--tensorflow_inter_op_parallelism=1",
    ]
    if dict(service.adapter_options).get("xla"):
        flags.append("--xla_cpu_compilation_enabled=true")
    if options.max_batch > 1:
        flags += ["--enable_batching=true", f"--batching_parameters_file={config_dir / 'batching.config'}"]
    return tuple(flags)
