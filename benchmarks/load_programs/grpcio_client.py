"""gRPC's own client: an open loop over `stub.future()`, or a closed one of a few callers."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import grpc

from bench.load import Arrivals, offsets_ns

MESSAGE = b"x" * 100


def main(words: dict[str, Any]) -> None:
    """Drive and print the processor time of a call."""
    with grpc.insecure_channel(f"127.0.0.1:{words['port']}") as channel:
        call = channel.unary_unary("/test.Echo/Echo")
        call(MESSAGE)
        cpu_s, started_s = time.process_time(), time.perf_counter()
        requests = _closed(call, words) if words["arrivals"] == "closed" else _open(call, words)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started_s
    answer = {
        "requests": requests,
        "failed": 0,
        "achieved_ratio": min(1.0, words["duration_s"] / wall_s),
        "lag_us": None,
        "latency_ms": None,
        "cpu_us": cpu_s / requests * 1e6,
    }
    print(json.dumps(answer))


def _open(call: Any, words: dict[str, Any]) -> int:
    plan = Arrivals(kind=words["arrivals"], rate_per_s=words["rate"], duration_s=words["duration_s"], seed=1)
    start_s, futures = time.perf_counter(), []
    for offset in (offsets_ns(plan) / 1e9).tolist():
        while (pause := start_s + offset - time.perf_counter()) > 0:
            time.sleep(pause)
        futures.append(call.future(MESSAGE))
    for future in futures:
        future.result()
    return len(futures)


def _closed(call: Any, words: dict[str, Any]) -> int:
    free, requests = threading.Semaphore(words["callers"]), 0
    end_s = time.perf_counter() + words["duration_s"]
    while time.perf_counter() < end_s:
        free.acquire()
        future = call.future(MESSAGE)
        future.add_done_callback(lambda _: free.release())
        requests += 1
    for _ in range(words["callers"]):
        free.acquire()
    return requests


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
