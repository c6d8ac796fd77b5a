"""What ONNX Runtime's adapter does about providers; runs in a process of its own and answers in plain JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.adapters import onnxruntime as adapter
from bench.core.errors import BenchError
from tests.conformance.adapter_cases import CASES, batch_of


def refusals(*, directory: Path) -> dict[str, Any]:
    """Case -> type, message and hint of what opening raises, or the provider that it ended on."""
    import onnxruntime

    case = CASES["onnx"]
    artifact = case.artifact(case.build(directory))

    def opened(provider: str) -> list[str]:
        try:
            session = adapter.ADAPTER.open(artifact, threads=1, options=adapter.Options(provider=provider))
        except BenchError as error:
            return [type(error).__name__, error.message, str(error.hint)]
        session.run(batch_of(2))
        return [session.provider]

    found = {"cpu": opened("cpu"), "cuda": opened("cuda"), "tensorrt": opened("tensorrt")}
    providers = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    onnxruntime.get_available_providers = lambda: providers
    adapter.cuda_device_count = lambda: 0
    found["listed, no device"] = opened("cuda")
    adapter.cuda_device_count = lambda: 1
    found["listed, a device, dropped by the library"] = opened("cuda")
    # Without its one guard the library itself would say nothing:
    settings = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(artifact.path, settings, providers=["CUDAExecutionProvider"])
    found["the library alone"] = session.get_providers()
    return found
