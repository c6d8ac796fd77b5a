"""Packages of AOTInductor on the CPU: native code that torch compiled ahead of time for one kind of processor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from bench.core.artifact import Artifact
from bench.core.errors import ExecutionUnavailable
from bench.formats.aot_inductor import missing_features

from .boundary import ModelSession, as_target_error
from .torch import bind_tensors, size_pools


@dataclass(frozen=True, kw_only=True)
class Options:
    """There is nothing to choose: all was decided when the package was compiled."""


class AotInductor:
    """Adapter of packages made by `exported_program_to_aot_inductor`."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the native code; ExecutionUnavailable when it was compiled for instructions this processor lacks."""
        import torch

        with as_target_error(f"{artifact.path}: not a package of AOTInductor"):
            missing = missing_features(Path(artifact.path))
        if missing:
            raise ExecutionUnavailable(
                f"{artifact.path}: compiled for a processor with {', '.join(sorted(missing))}, which this one lacks",
                hint="build it on this machine",
            )
        size_pools(threads)
        with as_target_error(f"{artifact.path}: PyTorch cannot open it as {artifact.format}"):
            model = torch._inductor.aoti_load_package(artifact.path)  # noqa: SLF001  its documented name
        return ModelSession(
            artifact,
            versions={"torch": torch.__version__},
            provider="cpu, AOTInductor",
            bind=partial(bind_tensors, model, [spec.native_name for spec in artifact.outputs]),
        )


ADAPTER = AotInductor()
