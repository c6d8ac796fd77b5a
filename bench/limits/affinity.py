"""Which CPUs a child may run on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from bench.core.cell import Limits
from bench.core.errors import HostError

from .grants import Orders


class Affinity:
    """`cpu_ids` by sched_setaffinity; descendants inherit it."""

    label = "affinity"

    def orders(self, limits: Limits) -> Orders:
        """The CPU numbers."""
        return {} if limits.cpu_ids is None else {"cpu_ids": list(limits.cpu_ids)}

    def blockers(self, limits: Limits) -> Sequence[str]:
        """CPUs that this process itself may not use: the kernel would leave them out without a word."""
        if limits.cpu_ids is None:
            return ()
        if not limits.cpu_ids:
            return ("cpu_ids is empty: name at least one CPU",)
        allowed = os.sched_getaffinity(0)
        missing = set(limits.cpu_ids) - allowed
        return (f"cpu_ids {_text(missing)} may not be used here: choose from {_text(allowed)}",) if missing else ()

    def require(self, limits: Limits, pid: int) -> None:
        """Compare with sched_getaffinity."""
        if limits.cpu_ids is None:
            return
        held = os.sched_getaffinity(pid)
        if held != set(limits.cpu_ids):
            raise HostError(
                f"cpu_ids {_text(limits.cpu_ids)} were asked for, the kernel grants {_text(held)}",
                hint="choose CPUs that exist and that this process may use: taskset -cp $$",
            )


def _text(cpu_ids: Iterable[int]) -> str:
    return ",".join(map(str, sorted(cpu_ids)))
