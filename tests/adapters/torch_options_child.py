"""What the options of the adapter for PyTorch do; every function runs in a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import plugins
from bench.core.artifact import TensorSpec
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


_REUSING = """
import torch

def own_memory():
    return lambda x: (x * 2, x + 1)

def one_buffer():
    out = torch.zeros(2, 4)

    def net(x):
        torch.mul(x, 2, out=out)
        return out, x + 1

    return net

def half_of_one_buffer():
    out = torch.zeros(4, 4)
    return lambda x: (x * 2, out.copy_(torch.cat([x, x + 1]))[2:])

for function in (own_memory, one_buffer, half_of_one_buffer):
    function.inputs = {"x": ("float32", (2, 4))}
"""


def outputs_of_callables(*, directory: Path) -> dict[str, dict[str, bool]]:
    """Callable -> whether answers stay when further calls are made, and whether later ones are read in place."""
    path = directory / "reusing.py"
    path.write_text(_REUSING)
    wide = TensorSpec(name="x", dtype="float32", shape=(2, 4))
    outputs = (replace(wide, name="double"), replace(wide, name="more"))
    torch = plugins.load("adapters", "torch")
    found = {}
    for name in ("own_memory", "one_buffer", "half_of_one_buffer"):
        artifact = step_sources.artifact("python_callable", path, [wide], outputs)
        artifact = replace(artifact, path=f"{path}:{name}")
        session = torch.open(artifact, threads=1, options=torch.Options())
        calls = [session.bind({"x": np.full((2, 4), value, np.float32)}) for value in (1, 5)]
        answers = [call() for _ in range(4) for call in calls]
        expected = [(2, 2), (10, 6)] * 4
        found[name] = {
            "stay": all(
                (array == value).all()
                for answer, values in zip(answers, expected, strict=True)
                for array, value in zip(answer, values, strict=True)
            ),
            "read in place": not any(array.flags.owndata for array in answers[-1]),
        }
    return found


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
