"""Several processes that send one plan together, where one core is too slow for it; their columns merge exactly.

Request i is sent by process i % processes. Each makes the whole plan anew from its seeds and takes its part, so only
the job travels there and only results come back. They share the machine's clock, start together, and die with the
process that started them.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.core.errors import HostError, TargetError
from bench.core.requests import read_requests, write_requests
from bench.core.serving import Endpoint
from bench.wire import Message

from .record import Drive, Facts, Sample, merge
from .schedule import Arrivals, offsets_ns
from .target import Target

_READY_S = 60.0  # for a process to start and to open its connections
_GRACE_S = 60.0  # beyond the end of the plan, for results to be written
_LEAD_NS, _LEAD_PER_REQUEST_NS = 100_000_000, 500
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardJob:
    """What one process is told; results go to the directory of its file."""

    endpoint: Endpoint
    payloads: tuple[Message, ...]
    max_connections: int
    arrivals: Arrivals
    timeout_s: float
    keep_every: int
    input_seed: int
    turn: int
    parts: int
    parent: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardNews:
    """A line that a process says: ready to be told the start, done, or why not."""

    kind: str
    message: str = ""
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRest:
    """What comes back beside the columns."""

    samples: tuple[Sample, ...]
    facts: Facts


def drive_in_shards(
    target: Target, arrivals: Arrivals, *, timeout_s: float, keep_every: int, input_seed: int, processes: int
) -> Drive:
    """`drive_open` by several processes. Connections of the target itself are left alone."""
    if target.origin is None:
        raise ValueError("a simulation is driven by one process")
    endpoint, payloads = target.origin
    offsets = offsets_ns(arrivals)
    plan_s = (float(offsets[-1]) / 1e9 if len(offsets) else 0.0) + timeout_s
    with tempfile.TemporaryDirectory(prefix="deploybench-load-") as directory, ExitStack() as stack:
        shards = [
            stack.enter_context(
                _shard(
                    Path(directory) / str(turn),
                    ShardJob(
                        endpoint=endpoint,
                        payloads=payloads,
                        max_connections=max(1, target.max_connections // processes),
                        arrivals=arrivals,
                        timeout_s=timeout_s,
                        keep_every=keep_every,
                        input_seed=input_seed,
                        turn=turn,
                        parts=processes,
                        parent=os.getpid(),
                    ),
                )
            )
            for turn in range(processes)
        ]
        for shard in shards:
            _await(shard, "ready", _READY_S)
        start_ns = time.perf_counter_ns() + _LEAD_NS + len(offsets) * _LEAD_PER_REQUEST_NS
        for shard in shards:
            _tell(shard, start_ns)
        for shard in shards:
            _await(shard, "done", plan_s + _GRACE_S)
        return merge([_results(Path(directory) / str(turn)) for turn in range(processes)])


def write_results(directory: Path, drive: Drive) -> None:
    """Written by a shard, read by the one that started it."""
    write_requests(directory / "requests.npz", drive.requests)
    rest = ShardRest(samples=drive.samples, facts=drive.facts)
    (directory / "rest.msgpack").write_bytes(msgspec.msgpack.encode(rest))


def _results(directory: Path) -> Drive:
    rest = msgspec.msgpack.decode((directory / "rest.msgpack").read_bytes(), type=ShardRest)
    return Drive(requests=read_requests(directory / "requests.npz"), samples=rest.samples, facts=rest.facts)


@contextmanager
def _shard(directory: Path, job: ShardJob) -> Iterator[subprocess.Popen[bytes]]:
    """A running shard, gone in the end whatever happened."""
    directory.mkdir()
    path = directory / "job.json"
    path.write_bytes(msgspec.json.encode(job))
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load.shard", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=os.environ | {"PYTHONPATH": search},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _tell(shard: subprocess.Popen[bytes], start_ns: int) -> None:
    assert shard.stdin is not None  # noqa: S101  it was started with a pipe
    try:
        shard.stdin.write(b"%d\n" % start_ns)
    except BrokenPipeError:  # it has died; awaiting its end says so
        return


def _await(shard: subprocess.Popen[bytes], kind: str, within_s: float) -> None:
    """Read its next line, which must be of that kind; the errors of a shard are raised here."""
    assert shard.stdout is not None  # noqa: S101  it was started with a pipe
    poll = select.poll()
    poll.register(shard.stdout, select.POLLIN)
    if not poll.poll(within_s * 1000):
        raise HostError(f"a process of the load generator is not {kind} after {within_s:.0f} s")
    line = shard.stdout.readline()
    if not line:
        raise HostError(f"a process of the load generator ended before it was {kind}: status {shard.wait()}")
    news = msgspec.json.decode(line, type=ShardNews)
    if news.kind != kind:
        raise (TargetError if news.kind == "target" else HostError)(news.message, hint=news.hint)
