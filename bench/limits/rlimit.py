"""A memory limit that needs no control group."""

from __future__ import annotations

import resource
from collections.abc import Sequence

from bench.core.cell import Limits
from bench.core.errors import HostError
from bench.core.units import format_bytes

from .grants import Orders


class AddressSpace:
    """`memory_limit_bytes` as RLIMIT_AS: it caps what each process maps, which is more than what it touches."""

    label = "address space"

    def orders(self, limits: Limits) -> Orders:
        """The cap in bytes."""
        return {} if limits.memory_limit_bytes is None else {"address_space_bytes": limits.memory_limit_bytes}

    def blockers(self, limits: Limits) -> Sequence[str]:
        """A cap above the one that this process already runs under cannot be granted."""
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = limits.memory_limit_bytes
        if wanted is None or hard == resource.RLIM_INFINITY or wanted <= hard:
            return ()
        return (f"memory limit {format_bytes(wanted)} is above this shell's own {format_bytes(hard)}: see ulimit -v",)

    def require(self, limits: Limits, pid: int) -> None:
        """Compare with prlimit."""
        if limits.memory_limit_bytes is None:
            return
        soft, hard = resource.prlimit(pid, resource.RLIMIT_AS)
        if (soft, hard) != (limits.memory_limit_bytes, limits.memory_limit_bytes):
            held = "no limit" if soft == resource.RLIM_INFINITY else format_bytes(soft)
            raise HostError(
                f"a memory limit of {format_bytes(limits.memory_limit_bytes)} was asked for, the kernel grants {held}",
                hint="ulimit -v shows the limit of this shell",
            )
