"""The closed list of flags: what disturbed a measurement, how much, which statistics it taints and what helps.

The thresholds were calibrated on 3200 blocks of a 0.7 ms model on a machine under changing load: waiting for a
processor for 1 % of the time moves the mean by some percent, 5 % the median, and the p25 hardly at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.core.block import Block
from bench.core.cell import Measurement
from bench.core.results import Estimate, Flag, Statistics

from .percentiles import block_percentile_ns
from .statistics import over_rounds

TAIL = ("mean_ms", "throughput_per_s", "p90_ms", "p95_ms", "p99_ms")
ALL = ("p25_ms", "p50_ms", "min_ms", *TAIL)
RATIOS = ("ratio", "p50_ratio")

#: Every flag there is, with the condition under which it is raised.
FLAGS: Mapping[str, str] = {
    "noisy-contention": "ready to run but waiting for a processor more than 1 % of the time",
    "noisy-pressure": "waiting times of the process are unknown, and the machine's processors were short",
    "noisy-steal": "the hypervisor took more than 0.5 % of the time",
    "noisy-off-cpu": "a processor-bound cell was off the processor more than 2 % of the time, and not in the queue",
    "noisy-throttled": "the control group was throttled although no quota was asked for",
    "noisy-oversubscribed": "more threads wanted to run than there are processors for them",
    "noisy-involuntary-switches": "pushed off the processor more than 50 times per second and thread",
    "noisy-major-faults": "pages were read from disk inside timed blocks",
    "noisy-wide-interval": "processes of the same cell differ: the interval is wider than 5 % either way",
    "noisy-outlier-blocks": "more than 5 % of the blocks lie beyond 10 median absolute deviations",
    "noisy-warm-up": "the blocks slow down or never settle, or the warm-up ended at its time limit",
    "invalid-contention": "waiting for a processor more than 20 % of the time: only p25 and p50 mean something",
    "invalid-too-fast": "a call is shorter than 100 readings of the timer",
    "invalid-clock": "the clock went back",
    "invalid-caching": "more than 10 % slower on inputs that are new to the process",
    "invalid-environment": "the environment changed between a cell and its reference, or between rounds",
    "invalid-limit-not-applied": "more processor time was used than the quota allows, and nothing was throttled",
}

_TIMER_READINGS_PER_CALL = 100
_CACHING_RATIO = 1.10
_OUTLIER_MAD = 10
_OUTLIER_FLOOR = 0.01  # of a quiet cell's MAD, so that a machine without noise has no outliers


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """Under what a cell was measured. `effective_cpus` counts affinity and quota, `machine_cpus` the whole machine;
    `distinct_input_ratio` is that of `distinct_input_ratio()`, None where not measured; `settled`: every warm-up ended
    because the speed had settled."""

    measurement: Measurement
    threads: int
    effective_cpus: float
    machine_cpus: int
    cpu_quota_cores: float | None = None
    batch: int = 1
    timer_ns: float = 60.0
    distinct_input_ratio: Estimate | None = None
    environment_ids: tuple[str, ...] = ()
    settled: bool = True


def judge(rounds: Sequence[Sequence[Block]], statistics: Statistics, conditions: Conditions) -> tuple[Flag, ...]:
    """All flags that this cell earns, in the order of `FLAGS`."""
    evidence = _Evidence(
        blocks=tuple(block for blocks in rounds for block in blocks),
        statistics=statistics,
        conditions=conditions,
    )
    found = {flag.name: flag for rule in _RULES for flag in rule(evidence)}
    return tuple(found[name] for name in FLAGS if name in found)


def invalid_rule(flags: Sequence[Flag]) -> str | None:
    """Why the cell as a whole must not be ranked; None when it may.

    An `invalid-` flag that leaves p25 and the ratio alone spoils only the statistics it names.
    """
    deciding = {"p25_ms", "ratio"}
    for flag in flags:
        if flag.name.startswith("invalid-") and deciding & set(flag.affects):
            return f"{flag.name}: {flag.text}"
    return None


def void(statistics: Statistics, flags: Sequence[Flag]) -> Statistics:
    """The statistics without the numbers that an `invalid-` flag names, for flags that leave the cell as a whole valid.

    A cell that `invalid_rule` rejects keeps its numbers: they are shown as those of an invalid cell.
    """
    withheld: dict[str, Any] = {
        name: Estimate(value=None, reason=f"not valid: {flag.name}")
        for flag in flags
        if flag.name.startswith("invalid-") and invalid_rule([flag]) is None
        for name in flag.affects
        if isinstance(getattr(statistics, name, None), Estimate)
    }
    return replace(statistics, **withheld)


def distinct_input_ratio(rounds: Sequence[tuple[Sequence[int], Sequence[Block]]]) -> Estimate:
    """p25 of calls whose input is new to their process over the p25 of its blocks, which repeat one input.

    One pair (calls, blocks) a round, and an interval over rounds: a few calls beside a busy neighbour prove nothing.
    All inputs must have the same shape. Well above 1: answers are remembered by input.
    """
    return over_rounds(
        [
            float(np.percentile(visits_ns, 25) / np.median([block_percentile_ns(block, 25) for block in blocks]))
            for visits_ns, blocks in rounds
        ]
    )


@dataclass(frozen=True)
class _Evidence:
    blocks: tuple[Block, ...]
    statistics: Statistics
    conditions: Conditions

    def total(self, counter: str) -> int:
        return sum(getattr(block.counters, counter) for block in self.blocks)

    @cached_property
    def wall_ns(self) -> int:
        return max(1, sum(block.wall_ns for block in self.blocks))

    @cached_property
    def runnable_threads(self) -> float:
        """Threads that ran or wanted to, on average; threads asleep do not count."""
        return (self.total("cpu_ns") + self.total("run_delay_ns")) / self.wall_ns

    @cached_property
    def contention_share(self) -> float:
        """Share of a runnable thread's time spent waiting for a processor; the delays of all threads are summed."""
        return self.total("run_delay_ns") / (self.wall_ns * max(1.0, self.runnable_threads))

    @cached_property
    def off_cpu_shares(self) -> list[float]:
        """Per block, the share of wall time neither on a processor nor in the queue for one (single-threaded)."""
        return [
            max(0.0, 1 - (block.counters.cpu_ns + block.counters.run_delay_ns) / max(1, block.wall_ns))
            for block in self.blocks
        ]


def _contention(evidence: _Evidence) -> list[Flag]:
    share, conditions = evidence.contention_share, evidence.conditions
    if share <= 0.01:
        return []
    if conditions.threads > conditions.effective_cpus:
        advice = f"it has {conditions.threads} threads on {conditions.effective_cpus:g} processors: use fewer threads"
    else:
        advice = "stop what else runs on this machine, or give the cell processors of its own"
    affects = ("p50_ms", *TAIL) if share > 0.05 else TAIL
    text = f"ready to run but waiting for a processor {share:.1%} of the time; {advice}"
    flags = [Flag(name="noisy-contention", text=text, affects=affects)]
    if share > 0.20:
        flags.append(Flag(name="invalid-contention", text=text, affects=TAIL))
    return flags


def _pressure(evidence: _Evidence) -> list[Flag]:
    if evidence.total("cpu_ns") or evidence.total("run_delay_ns"):
        return []
    share = evidence.total("pressure_ns") / evidence.wall_ns
    text = (
        f"the kernel does not say how long this process waited, but some process waited for a processor {share:.0%} of"
        " the time; stop what else runs on this machine"
    )
    return [Flag(name="noisy-pressure", text=text, affects=("p50_ms", *TAIL))] if share > 0.05 else []


def _steal(evidence: _Evidence) -> list[Flag]:
    share = evidence.total("steal_ns") / (evidence.wall_ns * evidence.conditions.machine_cpus)
    text = f"the hypervisor gave {share:.1%} of this machine's time to other machines; measure on another host or later"
    affects = ("p50_ms", *TAIL) if share > 0.05 else TAIL
    return [Flag(name="noisy-steal", text=text, affects=affects)] if share > 0.005 else []


def _off_cpu(evidence: _Evidence) -> list[Flag]:
    """Only where being off the processor is not the model's own doing: one thread, and it rarely blocks by itself."""
    if evidence.conditions.threads != 1 or not evidence.total("cpu_ns"):
        return []
    calls = sum(len(block.latencies_ns) for block in evidence.blocks)
    blocks_by_itself = evidence.total("voluntary_switches") > 0.5 * calls and min(evidence.off_cpu_shares) > 0.02
    share = float(np.average(evidence.off_cpu_shares, weights=[max(1, block.wall_ns) for block in evidence.blocks]))
    if blocks_by_itself or share <= 0.02:
        return []
    text = f"stopped for {share:.1%} of the time without waiting in the queue: paused, throttled or suspended"
    return [Flag(name="noisy-off-cpu", text=text, affects=("p50_ms", *TAIL))]


def _throttled(evidence: _Evidence) -> list[Flag]:
    throttled_ns, quota = evidence.total("throttled_ns"), evidence.conditions.cpu_quota_cores
    if quota is None:
        text = (
            f"the control group was throttled for {throttled_ns / 1e6:.0f} ms although no quota was asked for;"
            " lift the quota of the container or session this runs in, or declare it as a limit"
        )
        return [Flag(name="noisy-throttled", text=text, affects=("p50_ms", *TAIL))] if throttled_ns else []
    used_cores = evidence.total("cpu_ns") / evidence.wall_ns
    if throttled_ns or used_cores <= 1.1 * quota:
        return []
    text = f"used {used_cores:.2f} processors under a quota of {quota:g}, never throttled: the limit is not in force"
    return [Flag(name="invalid-limit-not-applied", text=text, affects=ALL)]


def _oversubscribed(evidence: _Evidence) -> list[Flag]:
    conditions = evidence.conditions
    if conditions.threads <= conditions.effective_cpus and evidence.runnable_threads <= 1.1 * conditions.effective_cpus:
        return []
    wanted = max(float(conditions.threads), evidence.runnable_threads)
    text = (
        f"{wanted:.1f} threads wanted to run on {conditions.effective_cpus:g} processors;"
        f" use at most {max(1, math.floor(conditions.effective_cpus))} threads, or turn spinning of idle threads off"
    )
    return [Flag(name="noisy-oversubscribed", text=text, affects=TAIL)]


def _involuntary_switches(evidence: _Evidence) -> list[Flag]:
    per_s = evidence.total("involuntary_switches") / (evidence.wall_ns / 1e9) / max(1.0, evidence.runnable_threads)
    text = f"pushed off the processor {per_s:.0f} times per second and thread by other work"
    return [Flag(name="noisy-involuntary-switches", text=text, affects=TAIL)] if per_s > 50 else []


def _major_faults(evidence: _Evidence) -> list[Flag]:
    faults = evidence.total("major_faults")
    text = f"{faults} pages had to be read from disk inside timed blocks; free memory, or lengthen the warm-up"
    return [Flag(name="noisy-major-faults", text=text, affects=TAIL)] if faults else []


def _wide_interval(evidence: _Evidence) -> list[Flag]:
    estimates = {"p25_ms": evidence.statistics.p25_ms, "p50_ms": evidence.statistics.p50_ms}
    wide = {name: width for name, estimate in estimates.items() if (width := _half_width(estimate)) > 0.05}
    if not wide:
        return []
    rounds, measurement = evidence.statistics.rounds, evidence.conditions.measurement
    advice = "measure more rounds" if rounds < measurement.max_rounds else "raise max_rounds, or quieten the machine"
    reach = f"{max(wide.values()):.0%}"
    text = f"its processes differ: the interval reaches {reach} either way after {rounds} rounds; {advice}"
    return [Flag(name="noisy-wide-interval", text=text, affects=tuple(wide))]


def _half_width(estimate: Estimate) -> float:
    interval = estimate.interval
    return math.sqrt(interval.high / interval.low) - 1 if interval else 0.0


def _outlier_blocks(evidence: _Evidence) -> list[Flag]:
    by_round: dict[int, list[float]] = {}
    for block in evidence.blocks:
        if block.steady_ns:
            by_round.setdefault(block.round, []).append(math.log(block_percentile_ns(block, 25)))
    deviations = np.abs(np.concatenate([np.array(values) - np.median(values) for values in by_round.values()]))
    limit = _OUTLIER_MAD * max(float(np.median(deviations)), _OUTLIER_FLOOR / _OUTLIER_MAD)
    share = float(np.mean(deviations > limit))
    text = (
        f"{share:.0%} of the blocks are far off the others of their process: something comes and goes on this machine"
    )
    return [Flag(name="noisy-outlier-blocks", text=text, affects=TAIL)] if share > 0.05 else []


def _warm_up(evidence: _Evidence) -> list[Flag]:
    texts = {
        "slowdown": "it gets slower while it runs (heat, memory growth); only its last, slower level is counted",
        "no-steady-state": "its speed never settles: no single number describes it; raise warm_up_min_s or blocks",
    }
    found = [texts[evidence.statistics.warm_up]] if evidence.statistics.warm_up in texts else []
    if not evidence.conditions.settled:
        found.append("the warm-up reached its time limit before the speed had settled: raise warm_up_max_s")
    return [Flag(name="noisy-warm-up", text="; ".join(found), affects=ALL)] if found else []


def _too_fast(evidence: _Evidence) -> list[Flag]:
    p25_ms, conditions = evidence.statistics.p25_ms.value, evidence.conditions
    limit_ns = _TIMER_READINGS_PER_CALL * conditions.timer_ns
    if p25_ms is None or p25_ms * 1e6 >= limit_ns:
        return []
    text = (
        f"a call of {p25_ms * 1e6:.0f} ns is too short for a timer that costs {conditions.timer_ns:.0f} ns;"
        f" batch the calls: use a batch size above {conditions.batch}"
    )
    return [Flag(name="invalid-too-fast", text=text, affects=(*ALL, *RATIOS))]


def _clock(evidence: _Evidence) -> list[Flag]:
    backwards = sum(latency < 0 for block in evidence.blocks for latency in block.latencies_ns)
    text = f"{backwards} calls ended before they began: the clock is not monotonic; report this machine"
    return [Flag(name="invalid-clock", text=text, affects=(*ALL, *RATIOS))] if backwards else []


def _caching(evidence: _Evidence) -> list[Flag]:
    ratio = evidence.conditions.distinct_input_ratio
    if ratio is None or ratio.interval is None or ratio.interval.low <= _CACHING_RATIO:
        return []
    text = (
        f"{ratio.value:.2f} times as slow on an input that is new to the process: answers are remembered by input"
        " (or the inputs do not fit the processor's cache); turn caching off, or measure with varying inputs"
    )
    return [Flag(name="invalid-caching", text=text, affects=(*ALL, *RATIOS))]


def _environment(evidence: _Evidence) -> list[Flag]:
    distinct = list(dict.fromkeys(evidence.conditions.environment_ids))
    text = f"measured in {len(distinct)} environments ({', '.join(distinct)}), which cannot be compared; measure anew"
    return [Flag(name="invalid-environment", text=text, affects=RATIOS)] if len(distinct) > 1 else []


_RULES: tuple[Callable[[_Evidence], list[Flag]], ...] = (
    _contention,
    _pressure,
    _steal,
    _off_cpu,
    _throttled,
    _oversubscribed,
    _involuntary_switches,
    _major_faults,
    _wide_interval,
    _outlier_blocks,
    _warm_up,
    _too_fast,
    _clock,
    _caching,
    _environment,
)
