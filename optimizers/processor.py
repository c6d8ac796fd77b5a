"""What kind of 8-bit arithmetic this machine's CPU has, for the steps whose right settings depend on it."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Literal

_INT8_DOT_PRODUCT = {"avx512_vnni", "avx_vnni", "amx_int8"}

Arithmetic = Literal["x86-vnni", "x86", "arm", "other"]


def arithmetic(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> Arithmetic:
    """`x86-vnni` multiplies 8-bit values into 32-bit sums; plain `x86` adds pairs in 16 bits, which saturate."""
    name = (machine or platform.machine()).lower()
    if name in {"aarch64", "arm64"}:
        return "arm"
    if name not in {"x86_64", "amd64"}:
        return "other"
    return "x86-vnni" if _flags(cpuinfo) & _INT8_DOT_PRODUCT else "x86"


def _flags(cpuinfo: Path) -> set[str]:
    """The flags of the first processor; none where the system does not tell."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()
