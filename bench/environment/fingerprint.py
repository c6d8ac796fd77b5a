"""The fingerprint of this machine, read from the kernel's files and package metadata; no framework is imported."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import capacity, host
from .facts import Environment, Moment, Share, Software
from .gpu import gpus
from .kernel_files import ROOT, read_text

#: Distributions whose version can move a latency or an output.
PACKAGES = (
    "jax",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "openvino",
    "safetensors",
    "scikit-learn",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
    "tokenizers",
    "torch",
    "transformers",
)
#: Variables that steer threads, spinning, memory and code generation in a runtime ...
_STEERING = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|NUMEXPR|XLA|ORT|ONNXRUNTIME|TORCH|PYTORCH|ATEN|ONEDNN|DNNL|OV|CUDA|NVIDIA"
    r"|MALLOC|TCMALLOC|GLIBC|PYTHONMALLOC)(_|$)"
    r"|TF_(NUM|ENABLE|DISABLE|XLA|GPU|CUDNN|DETERMINISTIC|FORCE|USE|SET)_"  # not all of TF_: Terraform's are secrets
    r"|LD_PRELOAD$"
)
#: ... unless they may hold something that is nobody's business.
_PRIVATE = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|KEY|AUTH", re.IGNORECASE)


def fingerprint(worker_environment: Mapping[str, str], *, root: Path = ROOT) -> Environment:
    """The machine as it is now. `worker_environment` holds the variables that workers get; only those that steer a
    runtime are kept. `root` is where /proc and /sys are looked for."""
    return Environment(
        processor=host.processor(root),
        memory_gib=round(host.memory_total_bytes(root) / 2**30),
        kernel=host.kernel(root),
        share=Share(
            affinity=capacity.affinity(root),
            cpuset=capacity.cpuset(root),
            cpu_quota_cores=capacity.cpu_quota_cores(root),
            memory_limit_bytes=capacity.memory_limit_bytes(root),
        ),
        software=_software(worker_environment),
        gpus=gpus().found,
        moment=_moment(root),
    )


def differences(a: Environment, b: Environment) -> list[tuple[str, str, str]]:
    """What is not the same, as (dotted name, value in `a`, value in `b`); the moment is not compared, and equal ids
    give an empty list. A value that is missing on one side is empty."""
    in_a, in_b = dict(_leaves(_identity(a))), dict(_leaves(_identity(b)))
    return [
        (name, in_a.get(name, ""), in_b.get(name, ""))
        for name in sorted(in_a.keys() | in_b.keys())
        if in_a.get(name, "") != in_b.get(name, "")
    ]


def _identity(environment: Environment) -> dict[str, Any]:
    identity = asdict(environment)
    del identity["moment"]
    return identity


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values; tuples of (name, value) pairs are walked like mappings."""
    if isinstance(value, tuple) and value and all(isinstance(item, tuple) for item in value):
        value = dict(value)
    elif isinstance(value, tuple) and value and all(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _software(worker_environment: Mapping[str, str]) -> Software:
    kept = {
        name: value for name, value in worker_environment.items() if _STEERING.match(name) and not _PRIVATE.search(name)
    }
    return Software(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libc=" ".join(platform.libc_ver()),
        packages=tuple(sorted(_installed())),
        preload=kept.pop("LD_PRELOAD", ""),
        variables=tuple(sorted(kept.items())),
    )


def _installed() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def _moment(root: Path) -> Moment:
    load = read_text(root / "proc/loadavg").split()[:3]
    return Moment(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        boot_id=read_text(root / "proc/sys/kernel/random/boot_id"),
        control_groups=host.control_group_paths(root),
        load_average=tuple(map(float, load)),
        cpu_pressure_ratio=host.cpu_pressure_ratio(root),
        available_memory_bytes=capacity.available_memory_bytes(root),
        temperatures_celsius=host.temperatures_celsius(root),
    )
