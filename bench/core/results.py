"""What a measurement yields: status, statistics with intervals, verdicts, flags; frozen, units in the names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "invalid", "failed", "crashed", "oom", "timeout", "cancelled", "skipped", "refused"]
#: Only cells of this status are ranked and exported as numbers.
RANKED_STATUS: Status = "ok"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a cell ended: `reason` is one line with cause, `hint` the next step, `log_tail` the target's last words."""

    status: Status
    reason: str = ""
    hint: str = ""
    culprit: str = ""
    phase: str = ""
    log_tail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """A warning from the closed list in `bench.measure.flags`: `affects` names the statistics it taints."""

    name: str
    text: str
    affects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number with its interval, or no number and the reason (`value is None`)."""

    value: float | None
    interval: Interval | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Latency of one call of the whole batch in ms.

    p25, p50, mean and throughput are those of a typical round (process), with intervals over rounds; the tail
    percentiles and the minimum are those of all calls together.
    """

    calls: int
    rounds: int
    p25_ms: Estimate
    p50_ms: Estimate
    p90_ms: Estimate
    p95_ms: Estimate
    p99_ms: Estimate
    min_ms: float
    mean_ms: Estimate
    throughput_per_s: Estimate  # items (batch x calls) per second of timed wall time
    warm_up: Literal["flat", "warm-up", "slowdown", "no-steady-state", "not judged"] = "not judged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """This cell's latency over its reference's, from blocks paired inside each round; below 1 is faster."""

    reference_id: str
    ratio: Estimate
    p50_ratio: Estimate
    verdict: Literal["changed", "same", "inconclusive"]
    looks: int  # how often the data was looked at; the interval's confidence accounts for it

    @property
    def direction(self) -> str:
        """In words: faster, slower, same or inconclusive."""
        if self.verdict != "changed" or self.ratio.value is None:
            return self.verdict
        return "faster" if self.ratio.value < 1 else "slower"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFidelity:
    """One output of a variant against the reference's, over the whole pool of real inputs."""

    name: str
    max_abs_error: float | None
    mean_abs_error: float | None
    relative_error: float | None  # max abs error / max abs reference value
    cosine: float | None
    top1_agreement_ratio: float | None
    not_finite: int
    values: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """Whether a variant still computes the reference's answers; `problem` is empty when it passed."""

    outputs: tuple[OutputFidelity, ...]
    deterministic: Literal["bitwise", "within tolerance", "unstable", "not judged"]
    passed: bool
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Share of labelled samples that came out right, with a Wilson interval; `reference_only_right` and
    `variant_only_right` are the discordant pairs against the reference, `p_value` is McNemar's exact test on them."""

    correct: int
    total: int
    ratio: Estimate
    metric: str = "top-1"
    reference_only_right: int = 0
    variant_only_right: int = 0
    p_value: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What the variant costs besides latency; medians over rounds."""

    import_s: float | None = None
    load_s: float | None = None
    first_call_ms: float | None = None
    compile_s: float | None = None  # part of the first call, where the runtime compiles in it and says so
    warm_up_s: float | None = None
    peak_memory_bytes: int | None = None  # proportional set size of the worker's process tree
    cpu_ms_per_call: float | None = None
    artifact_size_bytes: int | None = None
    build_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """What really held while the cell ran, read back from the kernel and from the process."""

    cpu_ids: tuple[int, ...] = ()
    threads_requested: int = 0
    threads_seen: int = 0  # of the process while a block ran
    memory_limit_bytes: int | None = None
    isolation: str = ""
    limiter: str = ""
    provider: str = ""  # the execution provider or device that really ran
    versions: tuple[tuple[str, str], ...] = ()
    worker_environment: tuple[tuple[str, str], ...] = ()  # the variables we set, GLIBC_TUNABLES among them


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplesRef:
    """Where the raw samples lie, relative to the run directory, and their sha256."""

    path: str
    sha256: str
    calls: int
