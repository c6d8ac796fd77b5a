"""What torch's compiler, Inductor, needs and makes: a C++ compiler, and code for the instruction sets of one CPU."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.core.errors import MissingPackage
from bench.core.plugins import install_hint
from bench.core.processor import cpu_flags

#: Inductor's choice on Linux where CXX is not set, as in a worker, whatever it is in the user's shell.
COMPILER = "g++"
#: Matching and packing of quantized operators lives in torchao, and is registered when this is imported.
_QUANTIZED_PATTERNS = "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"
_QUANTIZED_OPERATORS = "quantized_decomposed."

#: What `-march=native` may use; other flags tell of kernels, clocks and virtual machines.
_INSTRUCTION_SET = re.compile(
    r"avx|amx|fma|f16c|bmi|s?sse|sha|vaes|vpclmul|gfni|abm|adx|aes|popcnt|movbe|pclmul|asimd|sve|sme|bf16|i8mm|fphp|dotp"
)


def compiler_blockers() -> list[str]:
    """Why Inductor cannot compile for the CPU here, in one line with the way out; empty when it can."""
    if shutil.which(COMPILER):
        return []
    return [f"torch compiles with {COMPILER}, which is not on the PATH: apt install {COMPILER}"]


def teach_quantized_patterns(module: Any) -> None:
    """Let Inductor map the quantized operators of an exported module to 8-bit kernels; others stay as they are.

    MissingPackage where the module has such operators and torchao is not installed: it would be computed in floats.
    """
    graph = getattr(module, "graph", None)
    if graph is None or not any(str(node.target).startswith(_QUANTIZED_OPERATORS) for node in graph.nodes):
        return
    try:
        importlib.import_module(_QUANTIZED_PATTERNS)
    except ImportError as error:
        raise MissingPackage(
            f"8-bit kernels for quantized programs come from torchao, which cannot be imported: {error}",
            hint=install_hint(["torchao"]),
        ) from error


@contextmanager
def private_cache(directory: Path) -> Iterator[None]:
    """Keep what the compiler writes in `directory` meanwhile, and start no pool of compiler processes."""
    # Threads are read when the compiler is imported: otherwise a pool of processes stays.
    ours = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(directory)}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def processor_features() -> frozenset[str]:
    """Architecture and instruction sets of this machine's first processor, in the kernel's words."""
    names = cpu_flags()
    return frozenset({platform.machine(), *(name for name in names if _INSTRUCTION_SET.match(name))})
