"""What may stand in a matrix file."""

from __future__ import annotations

from typing import Any


def schema() -> dict[str, Any]:
    """JSON schema of a matrix file, for editors."""
    raise NotImplementedError
