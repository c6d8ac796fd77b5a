"""One block: a run of consecutive calls of one worker, with what the kernel says happened meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """Differences of the kernel's counters over the block, summed over all threads of the worker; 0 where absent."""

    cpu_ns: int = 0  # on a core
    run_delay_ns: int = 0  # runnable, but waiting for a core
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    major_faults: int = 0
    steal_ns: int = 0  # the whole machine's, /proc/stat
    pressure_ns: int = 0  # PSI cpu.some total of the whole machine
    throttled_ns: int = 0  # of the worker's control group
    threads: int = 0  # alive at the end of the block


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """`latencies_ns` in call order; the first `settling_calls` of them are kept but never enter a statistic."""

    round: int
    index: int
    latencies_ns: tuple[int, ...]
    settling_calls: int
    wall_ns: int  # of the whole block, settling calls included
    counters: Counters

    @property
    def steady_ns(self) -> tuple[int, ...]:
        """The latencies that statistics may use."""
        return self.latencies_ns[self.settling_calls :]
