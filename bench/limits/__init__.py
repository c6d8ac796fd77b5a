"""How limits are granted to a child and read back from the kernel; a limit that cannot be kept is never ignored.

A limiter gives orders: plain data that the launcher carries out between fork and exec. The table names them all.
"""

from __future__ import annotations

from bench.core.plugins import PluginSpec

from .grants import Limiter, blockers, limiter_label, orders, require

LIMITERS = (
    PluginSpec(
        name="affinity",
        target="bench.limits.affinity:Affinity",
        summary="cpu_ids: the child and its descendants run on these CPUs only (sched_setaffinity)",
    ),
    PluginSpec(name="none", target="bench.limits.unlimited:Unlimited", summary="nothing is limited"),
    PluginSpec(
        name="rlimit",
        target="bench.limits.rlimit:AddressSpace",
        summary="memory_limit_bytes as a cap of each process's address space (RLIMIT_AS), not of resident memory",
    ),
)

__all__ = ["LIMITERS", "Limiter", "blockers", "limiter_label", "orders", "require"]
