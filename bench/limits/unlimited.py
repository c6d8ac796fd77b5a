"""The limiter of a cell without limits."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.cell import Limits

from .grants import Orders


class Unlimited:
    """Asks for nothing and so is always granted."""

    label = "none"

    def orders(self, limits: Limits) -> Orders:
        """Nothing."""
        return {}

    def blockers(self, limits: Limits) -> Sequence[str]:
        """Nothing."""
        return ()

    def require(self, limits: Limits, pid: int) -> None:
        """Nothing."""
