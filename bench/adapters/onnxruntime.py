"""ONNX Runtime on the CPU: one pool of the declared size that sleeps between calls, no telemetry, no silent provider.

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
from bench.core.errors import TargetError

from .boundary import Call, ModelSession, as_target_error

if TYPE_CHECKING:
    from bench.core.contracts import Array

# Read when the library is imported: from then on its telemetry has a thread, a database in ~/.cache and lookups.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PROVIDER = "CPUExecutionProvider"
_LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """`graph_optimization` is how far the runtime rewrites the graph when it opens the file."""

    graph_optimization: Literal["disabled", "basic", "extended", "all"] = "all"


class OnnxRuntime:
    """Adapter of .onnx files."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Create a CPU session; TargetError when the file cannot be run, or not on the CPU provider alone."""
        import onnxruntime

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
        with as_target_error(f"{artifact.path}: ONNX Runtime cannot open it"):
            session = onnxruntime.InferenceSession(path, settings, providers=[_PROVIDER])
        if session.get_providers() != [_PROVIDER]:
            raise TargetError(f"{artifact.path}: runs on {session.get_providers()} instead of {_PROVIDER} alone")
        _check_names(artifact, session)
        return ModelSession(
            artifact,
            versions={"onnxruntime": onnxruntime.__version__},
            provider=_PROVIDER,
            bind=partial(_bind, session, artifact),
        )


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
