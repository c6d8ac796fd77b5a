"""The environment of a worker: an allow-list of the user's variables, and what we set for every worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def worker_environment(
    base: Mapping[str, str], threads: int, *, fallback_home: Path, seed: int | None = None
) -> dict[str, str]:
    """A complete environment; `seed` fixes hash seed and padding, `fallback_home` replaces an unusable HOME."""
    raise NotImplementedError


def variables_we_set(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What of `environment` comes from us, sorted, for the record (the padding as its size)."""
    raise NotImplementedError
