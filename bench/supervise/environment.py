"""The environment of a worker: an allow-list of the user's variables, and what we set for every worker."""

from __future__ import annotations

import os
import platform
import random
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: What passes from the user's shell; everything else, secrets above all, stays outside.
_PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
        "VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "CUDA_VISIBLE_DEVICES",
        "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONPYCACHEPREFIX",
        "PYTHONDONTWRITEBYTECODE", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONUNBUFFERED",
    }
)  # fmt: skip
_PASSED_PREFIXES = ("LC_", "DEPLOYBENCH_")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE", re.IGNORECASE)

#: Every pool that reads its size from the environment gets the cell's budget.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip

_CONSTANTS: Mapping[str, str] = {
    # Threads that wait by spinning take the cores of whoever is measured next.
    "KMP_BLOCKTIME": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # No library may open a connection or start a thread to report on its use.
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "CI": "true",  # the only switch that openvino_telemetry reads from the environment
}

_PADDING = "DEPLOYBENCH_PADDING"
_PADDING_MAX_BYTES = 4096
_HUGE_PAGES_FROM_GLIBC = (2, 35)
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def worker_environment(
    base: Mapping[str, str], threads: int, *, fallback_home: Path, seed: int | None = None
) -> dict[str, str]:
    """A complete environment for a worker whose thread pools have `threads` threads.

    Hash seed and padding differ from process to process, so that no result hangs on one memory layout; `seed` makes
    them repeatable. `fallback_home` replaces a HOME that cannot be written to, and is made.
    """
    chance = random.Random(seed)
    environment = {name: value for name, value in base.items() if _passes(name)}
    environment |= {**dict.fromkeys(_THREAD_VARIABLES, str(threads)), **_CONSTANTS}
    environment["PYTHONHASHSEED"] = str(chance.randrange(1, 2**32))
    environment[_PADDING] = "x" * chance.randrange(_PADDING_MAX_BYTES + 1)
    if _huge_pages_help():
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    if not _is_usable(environment.get("HOME", "")):
        fallback_home.mkdir(parents=True, exist_ok=True)
        environment["HOME"] = str(fallback_home.resolve())
    return environment


def variables_we_set(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What of `environment` comes from us, sorted, for the record; the padding as its size, HOME never."""
    ours = {*_THREAD_VARIABLES, *_CONSTANTS, "PYTHONHASHSEED", "GLIBC_TUNABLES"}
    shown = {name: value for name, value in environment.items() if name in ours}
    shown[_PADDING] = f"{len(environment.get(_PADDING, ''))} bytes"
    return tuple(sorted(shown.items()))


def _passes(name: str) -> bool:
    return (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and not _SECRET.search(name)


def _huge_pages_help() -> bool:
    """Glibc can ask for huge pages, and the kernel grants them to those who ask.

    Which 4 KiB pages a model's weights get differs from process to process, and with it their speed by several percent.
    """
    library, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if library != "glibc" or numbers < _HUGE_PAGES_FROM_GLIBC:
        return False
    try:
        mode = _HUGE_PAGES.read_text()
    except OSError:
        return False
    return "[madvise]" in mode or "[always]" in mode


def _is_usable(home: str) -> bool:
    """Whether files can be made in `home`: permissions alone do not tell of a read-only file system."""
    if not home or not os.path.isdir(home):
        return False
    try:
        with tempfile.TemporaryFile(dir=home):
            return True
    except OSError:
        return False
