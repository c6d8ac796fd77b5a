"""What the options of the adapter for OpenVINO do; every function runs in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.errors import BenchError
from tests.conformance import step_sources
from tests.conformance.adapter_cases import CASES, batch_of

OPTIONS: tuple[dict[str, Any], ...] = ({}, {"precision": "bf16"}, {"dynamic_quantization": True})


def answers(*, directory: Path) -> dict[str, Any]:
    """Options -> what the session says of itself and its worst error, or why it was refused."""
    case, batch = CASES["openvino_ir"], batch_of(3)
    path = case.build(directory)
    found: dict[str, Any] = {}
    for options in OPTIONS:
        name = ", ".join(f"{key}={value}" for key, value in options.items())
        try:
            session = opened(case.artifact(path), **options)
        except BenchError as error:
            found[name] = {"refused": error.message}
            continue
        outputs, expected = session.run(batch), case.expected(batch)
        found[name] = {
            "provider": session.provider,
            "error": max(float(np.abs(outputs[key] - expected[key]).max()) for key in expected),
            "dtypes": sorted({array.dtype.name for array in outputs.values()}),
        }
    return found


def quantized_activations(*, directory: Path) -> dict[str, float]:
    """Largest difference, with and without dynamic quantization, from the product with 8-bit weights in floats."""

    source = step_sources.openvino_model(directory)
    step = plugins.load("steps", "compress_openvino")
    (directory / "out").mkdir()
    made = step.apply(source, step.Options(), directory / "out", None)
    compressed = step_sources.artifact(made.format, made.path, made.inputs, made.outputs)
    batch = {"features": np.random.default_rng(0).normal(size=(64, 12)).astype("float32")}
    plain, quantized = (opened(compressed, dynamic_quantization=on).run(batch)["scores"] for on in (False, True))
    return {"difference": float(np.abs(plain - quantized).max())}


def refusal(*, directory: Path) -> list[str]:
    """Kind and words of the error where OpenVINO computes in another precision than was asked for, and its hint."""
    import openvino

    case = CASES["openvino_ir"]
    path = case.build(directory)
    ask = openvino.CompiledModel.get_property

    def in_single_precision(compiled: Any, name: str) -> Any:
        return openvino.Type.f32 if name == "INFERENCE_PRECISION_HINT" else ask(compiled, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino.CompiledModel, "get_property", in_single_precision)
        opened(case.artifact(path))
        try:
            opened(case.artifact(path), precision="bf16")
        except BenchError as error:
            return [type(error).__name__, error.message.removeprefix(f"{path}: "), error.hint or ""]
    return []


def opened(model: Any, **options: Any) -> Any:
    adapter = plugins.load("adapters", "openvino")
    return adapter.open(model, threads=1, options=adapter.Options(**options))
