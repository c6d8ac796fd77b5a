"""What the options of the adapter for PyTorch do; every function runs in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import plugins
from bench.core.errors import BenchError
from tests.conformance import step_sources
from tests.conformance.adapter_cases import CASES

OPTIONS: tuple[dict[str, Any], ...] = (
    {"precision": "bfloat16"},
    {"precision": "autocast"},
    {"channels_last": True},
    {"compile": "freezing", "precision": "bfloat16", "channels_last": True},
)


def answers(*, directory: Path) -> dict[str, Any]:
    """Options -> worst relative error against plain float32, the output's type, and what the session says of itself."""
    source = step_sources.torch_classifier(directory)
    batch = {"image": np.random.default_rng(0).random((3, 3, 12, 12), dtype=np.float32)}
    torch = plugins.load("adapters", "torch")
    expected = torch.open(source, threads=1, options=torch.Options()).run(batch)["scores"]
    found = {}
    for options in OPTIONS:
        session = torch.open(source, threads=1, options=torch.Options(**options))
        scores = session.run(batch)["scores"]
        found[", ".join(f"{name}={value}" for name, value in options.items())] = {
            "error": float(np.abs(scores - expected).max() / np.abs(expected).max()),
            "dtype": scores.dtype.name,
            "provider": session.provider,
            "compiles": session.compile_s is not None,
        }
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {**found, "processes left": len(children)}


def refusals(*, directory: Path) -> dict[str, list[str]]:
    """What -> kind of error and message."""
    encoder = step_sources.torch_encoder(directory)
    exported = CASES["exported_program"]
    (directory / "exported").mkdir()
    program = exported.artifact(exported.build(directory / "exported"))
    found = {
        "no convolution": _refusal(encoder, channels_last=True),
        "exported program": _refusal(program, precision="bfloat16"),
    }
    os.environ["PATH"] = str(directory)
    return {**found, "no compiler": _refusal(encoder, compile=True)}


def _refusal(artifact: Any, **options: Any) -> list[str]:
    torch = plugins.load("adapters", "torch")
    try:
        torch.open(artifact, threads=1, options=torch.Options(**options))
    except BenchError as error:
        return [type(error).__name__, error.message]
    return []
