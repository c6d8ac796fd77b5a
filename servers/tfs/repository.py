"""Model versions in the file system: directories with whole numbers for names below a model's base path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionPolicy:
    """Which of the versions found are served: the `count` latest, all, or those in `versions`."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """One model of a configuration; `labels` are names for versions."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: tuple[tuple[str, int], ...] = ()


def versions_found(base_path: Path) -> Mapping[int, Path]:
    """Version -> directory; nothing where the base path does not exist. Links are followed."""
    try:
        members = sorted(base_path.iterdir(), key=lambda member: (len(member.name), member.name))
    except OSError:
        return {}
    found: dict[int, Path] = {}
    for member in members:
        if member.name.isascii() and member.name.isdecimal() and member.is_dir():
            found.setdefault(int(member.name), member)
    return found


def versions_wanted(policy: VersionPolicy, found: Iterable[int]) -> frozenset[int]:
    """Those of `found` that the policy serves."""
    if policy.kind == "all":
        return frozenset(found)
    if policy.kind == "specific":
        return frozenset(policy.versions) & frozenset(found)
    return frozenset(sorted(found)[-max(policy.count, 1) :])
