"""Which vector instructions kernels name, and what this CPU has of those that matter for inference."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.core.profiling import OpProfile

#: As kernels of oneDNN, OpenVINO and XNNPACK write them, the most special first; one name may hold several.
_IN_KERNELS = (
    ("amx", r"amx"),
    ("avx512_vnni", r"avx512(_core)?_vnni|avx512vnni"),
    ("avx_vnni", r"avx2_vnni|avxvnni"),
    ("avx512_bf16", r"avx512(_core)?_bf16"),
    ("avx512_fp16", r"avx512(_core)?_fp16|avx512fp16"),
    ("avx512", r"avx512"),
    ("avx2", r"avx2"),
    ("sse4", r"sse4\d?"),
)
_REFERENCE = re.compile(r"(^|[_ ])ref(erence)?($|[_ :])", re.IGNORECASE)

#: What multiplies 8-bit integers, and what multiplies 16-bit floats, by the kernel's names (/proc/cpuinfo).
INT8_FLAGS = ("amx_int8", "avx512_vnni", "avx_vnni")
BF16_FLAGS = ("amx_bf16", "avx512_bf16")
FP16_FLAGS = ("amx_fp16", "avx512_fp16")
_KNOWN_FLAGS = ("avx2", "avx512f", *INT8_FLAGS, *BF16_FLAGS, *FP16_FLAGS)


def named_in(profile: OpProfile) -> tuple[str, ...]:
    """The instruction sets that the names of its kernels give away; empty where the runtime does not tell."""
    kernels = {op.kernel.lower() for op in profile.ops}
    return tuple(sorted({name for kernel in kernels for name in _of_kernel(kernel)}))


def _of_kernel(kernel: str) -> tuple[str, ...]:
    """The most special set that a kernel names."""
    return next(((name,) for name, pattern in _IN_KERNELS if re.search(pattern, kernel)), ())


def is_reference_kernel(kernel: str) -> bool:
    """Whether a kernel calls itself a plain reference implementation."""
    return bool(_REFERENCE.search(kernel))


def present(flags: Iterable[str]) -> tuple[str, ...]:
    """Of the flags of /proc/cpuinfo those that matter for inference, in a fixed order."""
    found = set(flags)
    return tuple(flag for flag in _KNOWN_FLAGS if flag in found)


def missing(flags: Iterable[str]) -> tuple[str, ...]:
    """Those that this CPU lacks."""
    found = set(flags)
    return tuple(flag for flag in _KNOWN_FLAGS if flag not in found)
