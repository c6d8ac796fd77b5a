"""What decides the result of a plug-in besides its input: the packages it needs, and our own source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

import bench.formats
from bench.core import plugins
from bench.core.canonical import digest
from bench.core.processor import cpu_flags

_SOURCE_HASH_CHARS = 16


@cache
def versions_of(kind: str, name: str) -> tuple[tuple[str, str], ...]:
    """(package, version) of what a plug-in needs, without importing it, and a hash of the source it is made of; of the
    processor's flags, too, where what it makes is for one kind of processor.

    The source is every module beside the plug-in's own and those of `bench.formats`: a change in a helper that they
    share must build anew, and what is built once too often costs seconds.
    """
    spec = plugins.lookup(kind, name)
    packages = tuple((package, _version(package)) for package in spec.used_packages())
    if spec.for_this_cpu:
        packages += (("cpu", digest(cpu_flags(), length=_SOURCE_HASH_CHARS)),)
    module = importlib.util.find_spec(spec.target.partition(":")[0])
    if module is None or module.origin is None:
        return packages
    return (*packages, (f"{kind} source", _source_hash(Path(module.origin).parent)))


@cache
def _source_hash(directory: Path) -> str:
    hasher = hashlib.sha256()
    for package in (directory, Path(bench.formats.__file__).parent):
        for path in sorted(package.glob("*.py")):
            hasher.update(f"{path.name}\n".encode() + path.read_bytes())
    return hasher.hexdigest()[:_SOURCE_HASH_CHARS]


def _version(package: str) -> str:
    """The installed version; packages whose distribution has another name are found through their metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        distributions = importlib.metadata.packages_distributions().get(package, ())
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in distributions) or "unknown"
