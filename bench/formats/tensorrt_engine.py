"""TensorRT as adapter and steps need it: which ways to it exist on this host, and words where the library gives None.

Nothing here imports a framework before it is asked to load one; what can be told from files is told from files.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FILE_NAME = "model.engine"
NO_DEVICE = "execution unavailable: no CUDA device"

#: Libraries that build engines, best first; an engine is read by the library that built it.
LIBRARIES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One way to TensorRT: `available` builds and runs, `convert_only` builds; `reason` says what is missing."""

    name: str
    status: Literal["available", "convert_only", "unavailable"]
    reason: str = ""


def ladder() -> tuple[Rung, ...]:
    """Every way to TensorRT, best first; asking loads the CUDA driver where there is one, and no framework."""
    has_device = cuda_device_count() > 0
    return (
        _of_module("tensorrt", "available" if has_device else "unavailable", has_device=has_device),
        _of_module("tensorrt_rtx", "available" if has_device else "convert_only", has_device=has_device),
        _of_provider(has_device=has_device),
        _of_tensorflow(has_device=has_device),
    )


def builders() -> tuple[str, ...]:
    """The libraries that can build an engine on this host, best first."""
    return tuple(rung.name for rung in ladder() if rung.name in LIBRARIES and rung.status != "unavailable")


def cuda_device_count() -> int:
    """How many CUDA devices the driver shows to this process; 0 without a driver. Creates no context."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _of_module(name: str, status: Literal["available", "convert_only", "unavailable"], *, has_device: bool) -> Rung:
    if importlib.util.find_spec(name) is None:
        return Rung(name=name, status="unavailable", reason="not installed")
    return Rung(name=name, status=status, reason="" if has_device else "no CUDA device")


def _of_provider(*, has_device: bool) -> Rung:
    """By its library: a session that cannot use the provider it was asked for runs on the CPU without an error."""
    name, library = "onnxruntime TensorrtExecutionProvider", "libonnxruntime_providers_tensorrt.so"
    if not any(path.is_file() for path in _files_of("onnxruntime", f"capi/{library}")):
        return Rung(name=name, status="unavailable", reason=f"{library} is not installed")
    if not has_device:
        return Rung(name=name, status="unavailable", reason="no CUDA device")
    return Rung(name=name, status="available")


def _of_tensorflow(*, has_device: bool) -> Rung:
    name = "TF-TRT"
    texts = [path.read_text() for path in _files_of("tensorflow", "python/platform/build_info.py") if path.is_file()]
    if not texts:
        return Rung(name=name, status="unavailable", reason="tensorflow is not installed")
    if not re.search(r"'is_tensorrt_build', True", texts[0]):
        return Rung(name=name, status="unavailable", reason="is_tensorrt_build is False")
    if not has_device:
        return Rung(name=name, status="unavailable", reason="no CUDA device")
    return Rung(name=name, status="available")


def _files_of(package: str, relative: str) -> Iterator[Path]:
    """Where a file of a package would lie; nothing when the package is not installed."""
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(root) / relative


def load_library(name: str) -> Any:
    """Import one of LIBRARIES; raises what it raises."""
    return importlib.import_module(name)


def keeping_logger(library: Any) -> Any:
    """A logger of the library that keeps errors as lines in `messages` and writes them and warnings to stderr:
    failures come as None without an exception, and the cause is told to the logger alone."""

    class Keeping(library.ILogger):  # type: ignore[misc]  # the library is known at run time only
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.ILogger.WARNING:
                sys.stderr.write(f"{library.__name__} {severity.name}: {message}\n")
            if severity <= library.ILogger.ERROR:
                self.messages.append(" ".join(message.split()))

    return Keeping()
