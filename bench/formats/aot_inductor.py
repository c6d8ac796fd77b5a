"""The `aot_inductor` format: a .pt2 package of native code, compiled for the processor of the machine that made it.

What the compiler may use of that processor stands in the package's metadata: running it elsewhere would end in an
illegal instruction, and torch only warns.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from .torch_inductor import private_cache, processor_features, teach_quantized_patterns

_FEATURES_KEY = "deploybench_cpu"
_METADATA = "_metadata.json"


def compile_package(program: Any, example: tuple[Any, ...], path: Path, cache: Path, *, freezing: bool) -> None:
    """Compile an exported program into the package `path`, for any number of threads; `cache` holds what the compiler
    leaves behind. `freezing` folds and packs the weights: quantized programs get 8-bit kernels by it alone."""
    import torch

    with private_cache(cache), torch.no_grad():  # with gradients possible, nothing is frozen
        teach_quantized_patterns(program)
        program._example_inputs = (example, {})  # noqa: SLF001  not stored in our files, and asked for here
        torch._inductor.aoti_compile_and_package(  # noqa: SLF001  its documented name
            program,
            package_path=str(path),
            inductor_configs={
                "freezing": freezing,
                # Otherwise the number of threads of this process would be compiled in.
                "cpp.dynamic_threads": True,
                # They would lie in the temporary directory, outside the cache.
                "aot_inductor.precompile_headers": False,
                "aot_inductor.metadata": {_FEATURES_KEY: " ".join(sorted(processor_features()))},
            },
        )


def missing_features(path: Path) -> frozenset[str]:
    """What the package's code may use and this processor has not; what no metadata names cannot be missing."""
    with zipfile.ZipFile(path) as package:
        described = [json.loads(package.read(name)) for name in package.namelist() if name.endswith(_METADATA)]
    if not described:
        raise ValueError("no metadata of native code inside")
    needed = {feature for metadata in described for feature in metadata.get(_FEATURES_KEY, "").split()}
    return frozenset(needed - processor_features())
