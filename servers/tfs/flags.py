"""The flags of `tensorflow_model_server`, read as that reads them, and one of our own.

Names, meanings and defaults are those of its main.cc and server.h. A flag that cannot mean anything here is accepted,
so that a command line can be taken over as it is, and named in the log; an unknown one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from bench.core.errors import MatrixError

Value = bool | int | str

#: Accepted, and said to be without effect.
WITHOUT_EFFECT = frozenset(
    {
        "enable_per_model_batching_parameters", "enable_profiler", "flush_filesystem_caches", "mixed_precision",
        "num_load_threads", "num_tflite_interpreters_per_pool", "num_tflite_pools", "num_unload_threads",
        "per_process_gpu_memory_fraction", "platform_config_file", "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph", "saved_model_tags", "skip_initialize_tpu",
        "tensorflow_inter_op_parallelism", "tensorflow_session_config_file", "thread_pool_factory_config_file",
        "xla_gpu_compilation_enabled",
    }
)  # fmt: skip

#: Would make a promise that this server does not keep.
_REFUSED = {
    "ssl_config_file": "this server speaks plain text, on loopback only",
    "use_alts_credentials": "this server speaks plain text, on loopback only",
}
_TRUTH = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Flags:
    """What the command line says. `ignored` are names of flags that were given and have no effect.

    0 stands for the default of `rest_api_num_threads` and `grpc_max_threads` (one per request that may wait), of the
    two parallelisms (all CPUs that the process may use), and of `rest_api_port` (no REST). A negative
    `file_system_poll_wait_seconds` never looks again. `bench_config` names the file of `servers.tfs.bench_config`.
    """

    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = 0
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_batching: bool = False
    batching_parameters_file: str = ""
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    xla_cpu_compilation_enabled: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    monitoring_config_file: str = ""
    grpc_max_threads: int = 0
    grpc_channel_arguments: str = ""
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False
    enable_grpc_healthcheck_service: bool = False
    allow_version_labels_for_unavailable_models: bool = False
    version: bool = False
    bench_config: str = ""
    ignored: tuple[str, ...] = ()


_TYPES: dict[str, type[Any]] = {
    field.name: type(field.default) for field in fields(Flags) if isinstance(field.default, bool | int | str)
}


def parse_flags(words: Sequence[str]) -> Flags:
    """Flags from `--name=value`, or `--name` for a truth value; MatrixError names the word that is none of them."""
    given: dict[str, Value] = {}
    ignored: list[str] = []
    for word in words:
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name == "ignored":
            raise MatrixError(f"{word!r} is not a flag", hint="flags are written --name=value")
        if name in WITHOUT_EFFECT:
            ignored.append(name)
        elif name in _REFUSED:
            raise MatrixError(f"--{name} cannot be had: {_REFUSED[name]}")
        elif name not in _TYPES:
            raise MatrixError(f"--{name} is not a known flag", hint=_suggestion(name))
        else:
            given[name] = _value(name, value, is_given=bool(has_value))
    return Flags(**given, ignored=tuple(dict.fromkeys(ignored)))  # type: ignore[arg-type]  # checked one by one


def _value(name: str, value: str, *, is_given: bool) -> Value:
    kind = _TYPES[name]
    if kind is bool and value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    if kind is str and is_given:
        return value
    try:
        if kind is int:
            return int(value)
    except ValueError:
        pass
    expected = {bool: "true or false", int: "a whole number", str: "a value"}[kind]
    raise MatrixError(f"--{name} needs {expected}, not {value!r}", hint=f"--{name}=...")


def _suggestion(name: str) -> str | None:
    close = get_close_matches(name.replace("-", "_").lower(), [*_TYPES, *WITHOUT_EFFECT], n=1)
    return f"did you mean --{close[0]}?" if close else None
