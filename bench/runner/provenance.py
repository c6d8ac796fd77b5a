"""What decides the result of a plug-in besides its input: packages, devices and programs, and our own source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path

import bench.formats
import bench.zoo
from bench.core import plugins
from bench.core.canonical import digest
from bench.core.processor import cpu_flags
from bench.environment import gpus

_SOURCE_HASH_CHARS = 16
_PROGRAM_TIMEOUT_S = 20


@cache
def versions_of(kind: str, name: str) -> tuple[tuple[str, str], ...]:
    """(package, version) of what a plug-in needs, without importing it, and a hash of the source it is made of; of the
    processor's flags, too, the GPUs and the programs that it runs, where they decide what it makes.

    The source is every module beside the plug-in's own and those of `bench.formats`: a change in a helper that they
    share must build anew, and what is built once too often costs seconds. A torch_module holds no code of its network:
    for what reads one, the zoo's source belongs to it.
    """
    spec = plugins.lookup(kind, name)
    decided_by = [(package, _version(package)) for package in spec.used_packages()]
    if spec.for_this_cpu:
        decided_by.append(("cpu", digest(cpu_flags(), length=_SOURCE_HASH_CHARS)))
    if spec.for_this_gpu:
        decided_by += [("gpu", f"{gpu.name} {gpu.compute_capability}") for gpu in gpus().found]
    decided_by += [(program, _version_of_program(program)) for program in spec.programs]
    if kind == "steps" and "torch_module" in spec.accepts:
        decided_by.append(("zoo source", _source_hash(Path(bench.zoo.__file__).parent)))
    module = importlib.util.find_spec(spec.target.partition(":")[0])
    if module is not None and module.origin is not None:
        decided_by.append((f"{kind} source", _source_hash(Path(module.origin).parent)))
    return tuple(decided_by)


@cache
def _source_hash(directory: Path) -> str:
    hasher = hashlib.sha256()
    for package in (directory, Path(bench.formats.__file__).parent):
        for path in sorted(package.glob("*.py")):
            hasher.update(f"{path.name}\n".encode() + path.read_bytes())
    return hasher.hexdigest()[:_SOURCE_HASH_CHARS]


@cache
def _version_of_program(name: str) -> str:
    """The first line of what the program says of its version; "missing" where it is not on the PATH."""
    path = shutil.which(name)
    if path is None:
        return "missing"
    said = subprocess.run(
        [path, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PROGRAM_TIMEOUT_S,
        check=False,
    )
    return said.stdout.partition("\n")[0].strip() or "unknown"


def _version(package: str) -> str:
    """The installed version; packages whose distribution has another name are found through their metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        distributions = importlib.metadata.packages_distributions().get(package, ())
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in distributions) or "unknown"
