"""The configuration files of `tensorflow_model_server`: protocol buffers in their text form, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from google.protobuf import text_format

from bench.core.errors import MatrixError
from bench.wire.protobuf import serving

from .repository import ModelEntry, VersionPolicy

_PLATFORM = "tensorflow"
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchingParameters:
    """Defaults are those of the scheduler; `num_batch_threads` 0 means one, for a session takes one call at a time."""

    max_batch_size: int = 1000
    batch_timeout_us: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 0
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False


def read_models(path: Path) -> tuple[ModelEntry, ...]:
    """The models of a file with a ModelServerConfig; MatrixError says what is wrong in it."""
    config = _read(path, serving.ModelServerConfig())
    if config.WhichOneof("config") == "custom_model_config":
        raise MatrixError(f"{path}: custom_model_config is not supported", hint="write a model_config_list")
    return model_entries(config.model_config_list, str(path))


def model_entries(listed: Any, place: str) -> tuple[ModelEntry, ...]:
    """The models of a ModelConfigList; MatrixError says what is wrong in it, and where."""
    entries = tuple(_entry(config, place) for config in listed.config)
    names = [entry.name for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MatrixError(f"{place}: two models are called {twice!r}", hint="give each a name of its own")
    return entries


def _entry(config: Any, place: str) -> ModelEntry:
    if not config.name or not config.base_path:
        raise MatrixError(f"{place}: a model has no {'base_path' if config.name else 'name'}")
    if config.model_platform not in ("", _PLATFORM):
        raise MatrixError(
            f"{place}: {config.name!r} has the platform {config.model_platform!r}", hint=f"only {_PLATFORM!r} is served"
        )
    return ModelEntry(
        name=config.name,
        base_path=Path(config.base_path),
        policy=_policy(config.model_version_policy),
        labels=tuple(sorted(config.version_labels.items())),
    )


def _policy(policy: Any) -> VersionPolicy:
    kind: Literal["latest", "all", "specific"] = policy.WhichOneof("policy_choice") or "latest"
    return VersionPolicy(
        kind=kind, count=policy.latest.num_versions or 1, versions=tuple(sorted(policy.specific.versions))
    )


def read_batching_parameters(path: Path | None) -> BatchingParameters:
    """The parameters in a file, the defaults without one; MatrixError says what is wrong in it."""
    if path is None:
        return BatchingParameters()
    message = _read(path, serving.BatchingParameters())
    if message.pad_variable_length_inputs:
        raise MatrixError(f"{path}: pad_variable_length_inputs is not supported", hint="send inputs of equal length")
    given = {
        name: getattr(message, field).value
        for name, field in (
            ("max_batch_size", "max_batch_size"),
            ("batch_timeout_us", "batch_timeout_micros"),
            ("max_enqueued_batches", "max_enqueued_batches"),
            ("num_batch_threads", "num_batch_threads"),
            ("enable_large_batch_splitting", "enable_large_batch_splitting"),
        )
        if message.HasField(field)
    }
    parameters = BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    _check(parameters, path)
    return parameters


def _check(parameters: BatchingParameters, path: Path) -> None:
    for name in ("max_batch_size", "max_enqueued_batches"):
        if getattr(parameters, name) < 1:
            raise MatrixError(f"{path}: {name} must be at least 1")
    sizes = parameters.allowed_batch_sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != parameters.max_batch_size):
        raise MatrixError(f"{path}: allowed_batch_sizes must increase, and end with max_batch_size")


def read_monitoring_path(path: Path | None) -> str:
    """Where metrics are answered; empty where nobody asked for them."""
    if path is None:
        return ""
    prometheus = _read(path, serving.MonitoringConfig()).prometheus_config
    return (prometheus.path or _PROMETHEUS_PATH) if prometheus.enable else ""


def _read(path: Path, message: Any) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError) as error:
        raise MatrixError(f"{path}: cannot be read: {error}") from error
    except text_format.ParseError as error:
        raise MatrixError(f"{path}:{error}", hint=f"it must be a {message.DESCRIPTOR.full_name} as text") from error
