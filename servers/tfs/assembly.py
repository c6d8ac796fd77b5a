"""The parts of the server put together as its flags say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import bench
from bench.core.artifact import Options
from bench.core.errors import MatrixError, TargetError
from servers.counters import Counters

from .bench_config import BenchConfig, read_bench_config
from .flags import Flags
from .grpc_kserve import Kserve
from .grpc_prediction import Models, Prediction
from .grpc_server import GrpcSettings, methods_of, start_grpc
from .inference import Inference
from .loaded import LoadOptions, available_cpus, load
from .manager import Manager, Retries
from .metrics import Metrics
from .repository import ModelEntry
from .rest import RestApp, RestSettings
from .rest_server import RestServer
from .status import StatusError
from .text_files import model_entries, read_batching_parameters, read_models, read_monitoring_path

_STOP_S = 1.5  # what is under way may take so long to be answered

Say = Callable[[str], None]


class Server:
    """Opens its models first and its ports then, as TensorFlow Serving does: who is answered can be served.

    BenchError says why it cannot start: a model that cannot be opened, or a port that another program has.
    """

    def __init__(self, flags: Flags, say: Say) -> None:
        self._flags = flags
        self._say = say
        config = read_bench_config(_path(flags.bench_config))
        metrics_path = read_monitoring_path(_path(flags.monitoring_config_file))
        metrics = Metrics(is_enabled=bool(metrics_path))
        load_options = _load_options(flags, config, metrics, say)
        retries = Retries(count=flags.max_num_load_retries, interval_s=flags.load_retry_interval_micros / 1e6)
        self._manager = Manager(partial(load, options=load_options), retries, say)
        self._open_models(_entries(flags))
        counters = Counters(Path(config.counters_dir)) if config.counters_dir else None
        self._inference = Inference(
            self._manager, metrics, counters, checks_method_names=flags.enable_signature_method_name_check
        )
        self._grpc = self._start_grpc(config)
        try:
            self._rest = self._start_rest(config, metrics, metrics_path)
        except BaseException:
            self._grpc.stop(None).wait()
            raise

    def watch(self, stopped: threading.Event) -> None:
        """Look for new versions, and for a changed configuration, until `stopped`."""
        config_s = self._flags.model_config_file_poll_wait_seconds if self._flags.model_config_file else 0
        intervals = {self._look_at_files: self._flags.file_system_poll_wait_seconds, self._look_at_config: config_s}
        due = {look: time.monotonic() + seconds for look, seconds in intervals.items() if seconds > 0}
        while not stopped.wait(max(min(due.values()) - time.monotonic(), 0.0) if due else None):
            look = min(due, key=lambda each: due[each])
            look()
            due[look] = time.monotonic() + intervals[look]

    def stop(self) -> None:
        """Take no more calls, and answer what is under way if that takes no longer than 1.5 s."""
        answered = self._grpc.stop(_STOP_S)
        if self._rest is not None:
            self._rest.stop()
        answered.wait()

    def close(self) -> None:
        """Give the models back too; a program that ends need not."""
        self._manager.close()

    # ----------------------------------------------------------------------------------------------------------- models

    def _open_models(self, entries: Sequence[ModelEntry]) -> None:
        """All models must open; one without any version is waited for, as TensorFlow Serving waits."""
        for name, why in self._manager.configure(entries).items():
            if self._manager.has_failed(name):
                raise TargetError(f"model {name!r} is not available: {why}")
            self._say(f"model {name!r} is not available: {why}; waiting for one")
        try:
            self._manager.label(entries, may_be_unavailable=self._flags.allow_version_labels_for_unavailable_models)
        except StatusError as error:
            raise MatrixError(error.message, hint="--allow_version_labels_for_unavailable_models") from error

    def _look_at_files(self) -> None:
        self._manager.refresh()

    def _look_at_config(self) -> None:
        try:
            self._reconfigure(read_models(Path(self._flags.model_config_file)))
        except (MatrixError, StatusError) as error:
            self._say(f"{self._flags.model_config_file}: kept what was served before: {error}")

    def _reload(self, config: Any) -> None:
        if config.WhichOneof("config") != "model_config_list":
            raise StatusError(
                "INVALID_ARGUMENT",
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        try:
            entries = model_entries(config.model_config_list, "ReloadConfigRequest")
        except MatrixError as error:
            raise StatusError("INVALID_ARGUMENT", error.message) from error
        self._reconfigure(entries)

    def _reconfigure(self, entries: Sequence[ModelEntry]) -> None:
        missing = self._manager.configure(entries)
        if missing:
            listed = ", ".join(f"{name}: {why}" for name, why in missing.items())
            raise StatusError("UNKNOWN", f"Some models did not become available: {{{listed}}}")
        self._manager.label(entries, may_be_unavailable=self._flags.allow_version_labels_for_unavailable_models)

    # ------------------------------------------------------------------------------------------------------------ ports

    def _start_rest(self, config: BenchConfig, metrics: Metrics, metrics_path: str) -> RestServer | None:
        if not self._flags.rest_api_port:
            return None
        settings = RestSettings(
            max_body_bytes=config.max_body_bytes,
            max_waiting=config.max_waiting,
            threads=self._flags.rest_api_num_threads,
            timeout_s=self._flags.rest_api_timeout_in_ms / 1e3,
            metrics_path=metrics_path,
            allows_other_origins=self._flags.rest_api_enable_cors_support,
        )
        return RestServer(RestApp(self._inference, metrics, settings), self._flags.rest_api_port)

    def _start_grpc(self, config: BenchConfig) -> Any:
        settings = GrpcSettings(
            port=self._flags.port,
            socket_path=self._flags.grpc_socket_path,
            max_message_bytes=config.max_body_bytes,
            max_waiting=config.max_waiting,
            threads=self._flags.grpc_max_threads,
            arguments=_channel_arguments(self._flags.grpc_channel_arguments),
        )
        prediction = Prediction(self._inference, as_content=self._flags.enable_serialization_as_tensor_content)
        methods = methods_of(
            prediction,
            Models(self._inference, self._reload),
            Kserve(self._inference, bench.__version__),
            with_health=self._flags.enable_grpc_healthcheck_service,
        )
        return start_grpc(settings, methods, self._inference)


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _entries(flags: Flags) -> tuple[ModelEntry, ...]:
    if flags.model_config_file:
        return read_models(Path(flags.model_config_file))
    if not flags.model_base_path:
        raise MatrixError("no model is named", hint="--model_base_path=DIRECTORY or --model_config_file=FILE")
    return (ModelEntry(name=flags.model_name, base_path=Path(flags.model_base_path)),)


def _load_options(flags: Flags, config: BenchConfig, metrics: Metrics, say: Say) -> LoadOptions:
    threads = flags.tensorflow_intra_op_parallelism or flags.tensorflow_session_parallelism or available_cpus()
    adapter_options: Options = (("xla", True),) if flags.xla_cpu_compilation_enabled else ()
    batching = None
    if flags.enable_batching:
        batching = read_batching_parameters(_path(flags.batching_parameters_file))
    return LoadOptions(
        nonce=config.nonce,
        max_waiting=config.max_waiting,
        threads=threads,
        adapter_options=adapter_options,
        batching=batching,
        warm_up_calls=max(flags.num_request_iterations_for_warmup, 1) if flags.enable_model_warmup else 0,
        observe_batch=metrics.observe_batch,
        say=say,
    )


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """`name=value` with commas between; a value is a whole number where it looks like one."""
    pairs = [part.partition("=") for part in filter(None, text.split(","))]
    return tuple((name, int(value) if value.lstrip("-").isdecimal() else value) for name, _, value in pairs)
