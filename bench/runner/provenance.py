"""What decides the result of a plug-in besides its input: the packages it needs and its own source."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from pathlib import Path

from bench.core import plugins
from bench.core.files import sha256_file

_SOURCE_HASH_CHARS = 16


@cache
def versions_of(kind: str, name: str) -> tuple[tuple[str, str], ...]:
    """(package, version) of what a plug-in needs, without importing it, and the hash of its own module."""
    spec = plugins.lookup(kind, name)
    packages = tuple((package, _version(package)) for package in spec.needs)
    module = importlib.util.find_spec(spec.target.partition(":")[0])
    source = sha256_file(Path(module.origin))[:_SOURCE_HASH_CHARS] if module is not None and module.origin else ""
    return (*packages, (name, source))


def _version(package: str) -> str:
    """The installed version; packages whose distribution has another name are found through their metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        distributions = importlib.metadata.packages_distributions().get(package, ())
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in distributions) or "unknown"
