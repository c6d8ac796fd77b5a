"""One drive of `bench.load`: `python ours.py WORDS.json` prints what it found as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from bench.core.requests import OK_GRPC, OK_HTTP
from bench.core.serving import Endpoint
from bench.load import Arrivals, drive_closed, drive_open, open_target
from bench.wire import Message

MESSAGE = b"x" * 100
METHOD = "/test.Echo/Echo"


def main(words: dict[str, Any]) -> None:
    """Drive and print."""
    protocol = words.get("protocol", "http")
    endpoint = Endpoint(protocol=protocol, port=words["port"], encoding="binary", model="m")
    payload = Message(path=METHOD, body=MESSAGE) if protocol == "grpc" else Message(path="/", body=b"")
    with open_target(endpoint, [payload], grpc_connections=words.get("connections", 4)) as target:
        if words["arrivals"] == "closed":
            drive = drive_closed(target, concurrency=words["callers"], duration_s=words["duration_s"], timeout_s=10)
        else:
            plan = Arrivals(kind=words["arrivals"], rate_per_s=words["rate"], duration_s=words["duration_s"], seed=1)
            drive = drive_open(target, plan, timeout_s=10)
    requests = drive.requests
    lag_us = (requests.sent_ns - requests.planned_ns) / 1e3
    latency_ms = (requests.done_ns - requests.planned_ns) / 1e6
    taken_s = (requests.sent_ns.max() - requests.planned_ns.min()) / 1e9
    answer = {
        "requests": len(lag_us),
        "failed": int(np.count_nonzero(~np.isin(requests.status, (OK_HTTP, OK_GRPC)))),
        "achieved_ratio": min(1.0, words["duration_s"] / taken_s),
        "lag_us": [float(value) for value in np.percentile(lag_us, (50, 99))],
        "latency_ms": [float(value) for value in np.percentile(latency_ms, (50, 99))],
        "cpu_us": drive.facts.cpu_s / len(lag_us) * 1e6,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
