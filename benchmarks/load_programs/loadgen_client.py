"""MLPerf LoadGen's server scenario (Poisson) over raw sockets, with as little Python in between as there can be.

Its trace tells when each request was planned and how much later it was handed over.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import mlperf_loadgen

CONNECTIONS = 256
ISSUED = re.compile(r'"name":"Latency".*?"ts":([\d.]+).*?"issue_delay":(\d+)')
LATENCY = re.compile(r"(\d+)\.00 percentile latency \(ns\)\s*:\s*(\d+)")


class System:
    """The system under test: each sample is a POST on a connection that is free."""

    def __init__(self, port: int) -> None:
        self._request = f"POST / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\r\n".encode()
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._carried: dict[int, int] = {}
        self._free: list[socket.socket] = []
        self.issued = 0
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection.fileno(), select.EPOLLIN)
            self._free.append(connection)
        threading.Thread(target=self._receive, daemon=True).start()

    def issue(self, samples: list[Any]) -> None:
        """LoadGen's own thread calls this when a query is due."""
        for sample in samples:
            self.issued += 1
            while not self._free:
                time.sleep(1e-4)
            connection = self._free.pop()
            self._carried[connection.fileno()] = sample.id
            connection.send(self._request)

    def flush(self) -> None:
        """Nothing is held back."""

    def _receive(self) -> None:
        while True:
            for fileno, _ in self._epoll.poll():
                self._sockets[fileno].recv(4096)
                response = mlperf_loadgen.QuerySampleResponse(self._carried[fileno], 0, 0)
                self._free.append(self._sockets[fileno])
                mlperf_loadgen.QuerySamplesComplete([response])


def main(words: dict[str, Any]) -> None:
    """Run the test and read what LoadGen says of it; without its trace it costs less."""
    system = System(words["port"])
    settings = mlperf_loadgen.TestSettings()
    settings.scenario, settings.mode = mlperf_loadgen.TestScenario.Server, mlperf_loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = words["rate"]
    settings.server_target_latency_ns = 10**10
    settings.min_duration_ms = settings.max_duration_ms = round(words["duration_s"] * 1000)
    settings.min_query_count = 1
    settings.server_coalesce_queries = False
    log = mlperf_loadgen.LogSettings()
    log.enable_trace = words["traces"]
    with tempfile.TemporaryDirectory(prefix="deploybench-loadgen-") as directory:
        log.log_output.outdir, log.log_output.copy_summary_to_stdout = directory, False
        sut = mlperf_loadgen.ConstructSUT(system.issue, system.flush)
        library = mlperf_loadgen.ConstructQSL(1024, 1024, lambda _: None, lambda _: None)
        cpu_s, started_s = time.process_time(), time.perf_counter()
        mlperf_loadgen.StartTestWithLogSettings(sut, library, settings, log)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started_s
        latencies = LATENCY.findall((Path(directory) / "mlperf_log_summary.txt").read_text())
        issued = ISSUED.findall((Path(directory) / "mlperf_log_trace.json").read_text()) if words["traces"] else []
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(sut)
    of_percent = {int(percent): int(ns) / 1e6 for percent, ns in latencies}
    lags_us = sorted(int(ns) / 1e3 for _, ns in issued)
    answer = {
        "requests": system.issued,
        "failed": 0,
        "achieved_ratio": min(1.0, words["duration_s"] / wall_s),
        "lag_us": [lags_us[int(len(lags_us) * share)] for share in (0.5, 0.99)] if issued else None,
        "latency_ms": [of_percent[50], of_percent[99]],
        "cpu_us": cpu_s / system.issued * 1e6,
        "plan_s": sorted(float(us) / 1e6 for us, _ in issued) if issued and words["rate"] <= 1000 else None,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
