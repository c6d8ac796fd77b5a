"""In process: no server, no wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Direct:
    """The measuring worker opens the artifact itself, so there is nothing to start and nothing to choose."""
