"""The GPUs that NVML names; asking costs a millisecond and creates no context on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .facts import Gpu


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What NVML says: the GPUs, or why there are none."""

    found: tuple[Gpu, ...] = ()
    reason: str = ""


def gpus() -> Answer:
    """All GPUs of this machine in NVML's order."""
    try:
        import pynvml
    except ImportError:
        return Answer(reason="nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Answer(reason=f"NVML does not answer: {error}")
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        found = tuple(_describe(pynvml, handle) for handle in handles)
        return Answer(found=found, reason="" if found else "NVML answers, but knows no GPU")
    except pynvml.NVMLError as error:
        return Answer(reason=f"NVML does not name its GPUs: {error}")
    finally:
        pynvml.nvmlShutdown()


def _describe(pynvml: Any, handle: Any) -> Gpu:
    try:
        mig = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    except pynvml.NVMLError:  # most GPUs cannot be divided, and say so
        mig = False
    try:
        capability = ".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle)))
    except pynvml.NVMLError:
        capability = ""
    return Gpu(
        name=pynvml.nvmlDeviceGetName(handle),
        driver=pynvml.nvmlSystemGetDriverVersion(),
        memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        mig=mig,
        compute_capability=capability,
    )
