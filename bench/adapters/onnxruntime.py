"""ONNX Runtime: one pool of the declared size that sleeps between calls, no telemetry, no silent change of provider.

A provider that was asked for and cannot be had is told so: the library itself would go on on the CPU and only warn.

A file the user names has passed the ONNX checker before it comes here (`bench.adapters.inspect`): some files that the
checker refuses kill ONNX Runtime with a segmentation fault.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.core.artifact import Artifact
from bench.core.errors import ExecutionUnavailable, TargetError
from bench.formats.tensorrt_engine import cuda_device_count

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array

# Read when the library is imported: from then on its telemetry has a thread, a database in ~/.cache and lookups.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """`graph_optimization` is how far the runtime rewrites the graph when it opens the file; `provider` is what
    executes all of it."""

    graph_optimization: Literal["disabled", "basic", "extended", "all"] = "all"
    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"


class OnnxRuntime:
    """Adapter of .onnx files."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Create a session; TargetError when the file cannot be run, ExecutionUnavailable when the provider cannot be
        had here for the whole graph."""
        import onnxruntime

        provider = _PROVIDERS[options.provider]
        if options.provider != "cpu":
            _require_device(provider)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, f"ORT_{_LEVELS[options.graph_optimization]}"
        )
        # Spinning threads take the cores of the variant that is measured next.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The real path: external data beside a linked file would otherwise be looked up beside the link.
        path = str(Path(artifact.path).resolve())
        session = _session(path, settings, provider)
        if session.get_providers()[0] != provider:
            raise ExecutionUnavailable(_refusal(provider, f"the session is on {session.get_providers()[0]}"))
        _check_names(artifact, session)
        return ModelSession(
            artifact,
            versions={"onnxruntime": onnxruntime.__version__},
            provider=provider,
            bind=partial(_bind, session, artifact),
        )


def _require_device(provider: str) -> None:
    """The provider must be in the package, and a device in the machine: packages list what they were built with."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ExecutionUnavailable(
            _refusal(provider, f"the installed package has {', '.join(available)}"),
            hint="pip uninstall onnxruntime; pip install onnxruntime-gpu (they share a directory: never both)",
        )
    if cuda_device_count() == 0:
        raise ExecutionUnavailable(
            _refusal(provider, "no CUDA device"), hint="measure it on a machine with an NVIDIA GPU"
        )


def _session(path: str, settings: Any, provider: str) -> Any:
    """A session on `provider` alone: the library's three ways back to the CPU (at creation, for operators that the
    provider does not know, and when a call fails) are closed."""
    import onnxruntime

    doing = f"{path}: ONNX Runtime cannot open it"
    if provider == _PROVIDERS["cpu"]:
        with as_target_error(doing):
            return onnxruntime.InferenceSession(path, settings, providers=[provider])
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(path, settings, providers=[provider], enable_fallback=0)
    except Exception as error:
        if "CPU EP" in str(error):
            raise ExecutionUnavailable(
                _refusal(provider, "part of the graph, or all of it, would run on the CPU"),
                hint="see the log: a library of CUDA does not load, or the provider lacks an operator of this model",
            ) from error
        with as_target_error(doing):
            raise
    session.disable_fallback()
    return session


def _refusal(provider: str, cause: str) -> str:
    return f"execution unavailable on {provider}: {cause}"


def _check_names(artifact: Artifact, session: Any) -> None:
    for kind, specs, nodes in (
        ("input", artifact.inputs, session.get_inputs()),
        ("output", artifact.outputs, session.get_outputs()),
    ):
        known = {node.name for node in nodes}
        missing = [spec.native_name for spec in specs if spec.native_name not in known]
        if missing:
            raise TargetError(f"{artifact.path}: no {kind} is called {missing[0]!r}; it has {sorted(known)}")


def _bind(session: Any, artifact: Artifact, arrays: list[Array]) -> Call:
    """The public `run` on numpy arrays, which it reads in place: no frame of ours, and no copy of the inputs.

    OrtValues as inputs cost more per call, for each output then takes one more crossing; an I/O binding saves about
    a microsecond but hands out the same output memory again on the next call.
    """
    feeds = {spec.native_name: array for spec, array in zip(artifact.inputs, arrays, strict=True)}
    call: Call = partial(session.run, [spec.native_name for spec in artifact.outputs], feeds)
    return call


ADAPTER = OnnxRuntime()
