"""What all limiters promise, and the limits of a cell seen through all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bench.core import plugins
from bench.core.cell import Limits

Orders = Mapping[str, Any]
"""Order -> JSON value, each carried out by the launcher in the child between fork and exec."""


class Limiter(Protocol):
    """Grants one kind of limit. `label` is what a record says was in force."""

    label: str

    def orders(self, limits: Limits) -> Orders:
        """What the launcher has to do; empty when `limits` asks nothing of this limiter."""
        ...

    def blockers(self, limits: Limits) -> Sequence[str]:
        """Reasons why this host cannot grant the limits, each with the way out."""
        ...

    def require(self, limits: Limits, pid: int) -> None:
        """Read back from the kernel; HostError when `pid` does not run under what was asked."""
        ...


def blockers(limits: Limits) -> tuple[str, ...]:
    """Reasons why `limits` cannot be granted here; empty when they can."""
    reasons = [reason for limiter in _limiters() for reason in limiter.blockers(limits)]
    if limits.cpu_quota_cores is not None:
        reasons.append("cpu_quota_cores needs cgroup limiter, not available in this version: use cpu_ids")
    if limits.gpu_ids:
        reasons.append("gpu_ids needs gpu limiter, not available in this version: leave gpu_ids out")
    return tuple(reasons)


def orders(limits: Limits) -> Orders:
    """The orders of all limiters together."""
    return {name: value for limiter in _limiters() for name, value in limiter.orders(limits).items()}


def limiter_label(limits: Limits) -> str:
    """What is in force, for the record: "none", "affinity", "affinity + address space" ..."""
    return " + ".join(limiter.label for limiter in _limiters() if limiter.orders(limits)) or "none"


def require(limits: Limits, pid: int) -> None:
    """Read every limit of `pid` back from the kernel; HostError names the first that is not what was asked."""
    for limiter in _limiters():
        limiter.require(limits, pid)


def _limiters() -> list[Limiter]:
    return [plugins.load("limiters", name)() for name in plugins.table("limiters")]
