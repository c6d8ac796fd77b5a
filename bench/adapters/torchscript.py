"""TorchScript on the CPU: archives of `torch.jit.save`. They can run code when they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from bench.core.artifact import Artifact

from .boundary import ModelSession, as_target_error
from .torch import bind_tensors, size_pools


@dataclass(frozen=True, kw_only=True)
class Options:
    """`optimize` rewrites the script in memory when it is opened (`torch.jit.optimize_for_inference`): what it makes
    cannot be saved and loaded again."""

    optimize: bool = False


class TorchScript:
    """Adapter of .ts files, whose function takes and returns tensors in the order of the signature."""

    Options: ClassVar[type[Any]] = Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> ModelSession:
        """Load the script in inference mode; TargetError says why it cannot be."""
        import torch

        size_pools(threads)
        with as_target_error(f"{artifact.path}: PyTorch cannot open it as {artifact.format}"):
            script = torch.jit.load(artifact.path, map_location="cpu").eval()
            if options.optimize:
                script = torch.jit.optimize_for_inference(script)
        return ModelSession(
            artifact,
            versions={"torch": torch.__version__},
            provider="cpu, TorchScript optimized" if options.optimize else "cpu, TorchScript",
            bind=partial(bind_tensors, script, [spec.native_name for spec in artifact.outputs]),
        )


ADAPTER = TorchScript()
