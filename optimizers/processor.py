"""What kind of 8-bit arithmetic this machine's CPU has, for the steps whose right settings depend on it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal

from bench.core.processor import CPUINFO, cpu_flags

_INT8_DOT_PRODUCT = {"avx512_vnni", "avx_vnni", "amx_int8"}

Arithmetic = Literal["x86-vnni", "x86", "arm", "other"]


def arithmetic(machine: str | None = None, cpuinfo: Path = CPUINFO) -> Arithmetic:
    """`x86-vnni` multiplies 8-bit values into 32-bit sums; plain `x86` adds pairs in 16 bits, which saturate."""
    name = (machine or platform.machine()).lower()
    if name in {"aarch64", "arm64"}:
        return "arm"
    if name not in {"x86_64", "amd64"}:
        return "other"
    return "x86-vnni" if _INT8_DOT_PRODUCT.intersection(cpu_flags(cpuinfo)) else "x86"
