"""What this machine's processor can do, in the kernel's words: for defaults, for explanations and for artifact keys."""

from __future__ import annotations

import re
from pathlib import Path

_FLAGS = re.compile(r"^(?:flags|Features)\s*:(?P<names>.*)$", re.MULTILINE)
CPUINFO = Path("/proc/cpuinfo")


def cpu_flags(cpuinfo: Path = CPUINFO) -> tuple[str, ...]:
    """Flags of the first processor (avx2, avx512_vnni, asimddp ...); empty where the system does not tell."""
    try:
        found = _FLAGS.search(cpuinfo.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ()
    return tuple(found["names"].split()) if found else ()
