"""What a served cell yields beside the common record: its loads, its latency by layer, its costs, its flags.

Latencies of a load count from when a request was due, not from when it was sent: a client that waits for a slow
server would otherwise leave out the very requests that the server kept waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .results import Estimate, Flag

#: How a load ended, worst first after "ok"; only numbers of an "ok" load say something about the server.
Verdict = Literal["ok", "client-limited", "saturated", "errors", "wrong answers", "invalid"]

NOT_MEASURED = Estimate(value=None, reason="not measured")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """Where the mean request of a load spent its time, in ms; the layers add up to the end-to-end latency.

    client: planned to sent. transport: network, kernel and HTTP server, there and back. queue: waiting inside the
    server. Servers that tell no stamps have `client_ms` and `server_ms` (sent to done) instead of the layers between,
    and `reason` says so. `requests` carried stamps that make sense; `end_to_end_ms` is the mean of all answered ones.
    """

    client_ms: float | None = None
    transport_ms: float | None = None
    queue_ms: float | None = None
    deserialise_ms: float | None = None
    infer_ms: float | None = None
    serialise_ms: float | None = None
    server_ms: float | None = None
    end_to_end_ms: float | None = None
    requests: int = 0
    reason: str = ""

    @property
    def unexplained_ratio(self) -> float | None:
        """|sum of the layers - end to end| / end to end; None where there is no end-to-end latency."""
        if not self.end_to_end_ms:
            return None
        layers = (
            self.client_ms,
            self.transport_ms,
            self.queue_ms,
            self.deserialise_ms,
            self.infer_ms,
            self.serialise_ms,
            self.server_ms,
        )
        return abs(sum(layer for layer in layers if layer is not None) - self.end_to_end_ms) / self.end_to_end_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPoint:
    """One load on a server: what was offered, what came back, how late, and whether the numbers are the server's.

    Counts are of the whole load; `requests` is the sum of `answered` (with a good status), `errors` (another status,
    or an answer that is not the protocol), `timed_out`, `disconnected` and `unsent`. Latencies, rates and goodput are
    of the steady part, after the warm-up. Percentiles are of all its requests, failed ones included; service times
    count from the actual sending and are of answered requests only.
    """

    kind: str = ""  # "poisson", "constant", ..., or "closed", which `concurrency` belongs to
    offered_per_s: float = 0.0
    achieved_per_s: float = 0.0
    duration_s: float = 0.0
    concurrency: int | None = None
    requests: int = 0
    answered: int = 0
    errors: int = 0
    timed_out: int = 0
    disconnected: int = 0
    unsent: int = 0
    checked: int = 0  # answers compared with the expected one
    wrong: int = 0  # of those
    p50_ms: Estimate = NOT_MEASURED
    p90_ms: Estimate = NOT_MEASURED
    p95_ms: Estimate = NOT_MEASURED
    p99_ms: Estimate = NOT_MEASURED
    mean_ms: float | None = None  # None where a request failed: its latency has no finite value
    max_ms: float | None = None
    service_p50_ms: float | None = None
    service_p99_ms: float | None = None
    lag_p50_us: float | None = None  # how late the client sent what was due
    lag_p99_us: float | None = None
    goodput_ratio: Estimate = NOT_MEASURED  # of all planned requests, answered right and within the objective
    goodput_per_s: float | None = None
    server_cpu_us_per_request: float | None = None
    client_cpu_us_per_request: float | None = None
    client_cpu_ratio: float | None = None  # of one core
    statuses: tuple[tuple[int, int], ...] = ()  # (status, requests), as in `bench.core.requests`
    variance_inflation: float | None = None  # of the requests above p99; 1 where they are independent
    flags: tuple[Flag, ...] = ()
    verdict: Verdict = "invalid"  # of a load that nobody judged

    @property
    def is_valid(self) -> bool:
        """Whether its numbers may be ranked as the server's."""
        return self.verdict == "ok"

    @property
    def failed(self) -> int:
        """Requests that came to no good answer, those never sent included."""
        return self.errors + self.timed_out + self.disconnected + self.unsent


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """One open load of a search: `p99_ms` is the plain percentile from when each request was due, however few they are.

    None: it lies among requests that failed. `saturated`: the queue only grew, and the load may have been ended for it.
    `problem` says why the numbers are not the server's; empty where they are. `in_time_ratio` is the goodput.
    """

    rate_per_s: float
    requests: int
    p99_ms: float | None
    error_ratio: float = 0.0
    saturated: bool = False
    problem: str = ""
    in_time_ratio: Estimate = NOT_MEASURED


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """The highest rate at which a server keeps a latency objective.

    `confirmed_per_s` is the rate of a load of its own that kept it, None with `reason` where there is none;
    `fitted_per_s` is where p99 as a function of the rate meets the objective; `held_per_s` and `failed_per_s` are the
    highest rate that kept it and the lowest that did not. `confidence` says in words what the confirmed rate is worth,
    `in_time_ratio` is the goodput of the load that confirmed it.
    """

    slo_ms: float
    confirmed_per_s: float | None = None
    fitted_per_s: float | None = None
    held_per_s: float | None = None
    failed_per_s: float | None = None
    x_max_per_s: float | None = None
    knee_concurrency: int | None = None
    in_time_ratio: Estimate = NOT_MEASURED
    requests: int = 0  # of all probes
    confidence: str = ""
    reason: str = ""
    probes: tuple[ProbeResult, ...] = ()
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """All that is known of a variant behind a server.

    `saturation` is a closed loop: its throughput counts and its latency does not, and `x_max_per_s` is that throughput.
    `server_cost_ms` is the p50 of one request at a time less the p50 in the process. Counts of the server are its own
    and of the whole cell, None for servers that do not count.
    """

    notes: tuple[str, ...] = ()  # of the topology
    protocol: str = ""
    encoding: str = ""
    headline: LoadPoint | None = None
    zero_load: LoadPoint | None = None
    saturation: LoadPoint | None = None
    x_max_per_s: float | None = None
    knee_concurrency: int | None = None
    curve: tuple[LoadPoint, ...] = ()
    search: SearchResult | None = None
    attribution: Attribution | None = None
    in_process_p50_ms: Estimate = NOT_MEASURED
    server_cost_ms: Estimate = NOT_MEASURED
    start_s: float | None = None
    import_s: float | None = None
    load_s: float | None = None
    worker_counts: tuple[tuple[int, int], ...] = ()  # (number in the order of their start, answered)
    restarts: int = 0
    server_received: int | None = None
    server_answered: int | None = None
    client_sent: int = 0
    server_memory_bytes: int | None = None  # sum of the proportional set sizes of its processes
    server_processes: int = 0
    caching_ratio: Estimate = NOT_MEASURED  # time on new inputs over time on repeated ones
    agreement: str = ""  # "bitwise" or "within tolerance" with the same variant in process, or the problem
    co_located: bool = False  # client and server share processors
    slo_ms: float | None = None
    samples_path: str = ""
    flags: tuple[Flag, ...] = ()
