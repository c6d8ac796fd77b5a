"""`python -m bench.load.shard JOB.json`: one of several processes that send a plan together; see `shards`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import msgspec

from bench.core.errors import BenchError, TargetError

from .shards import ShardJob, ShardNews, write_results
from .single import Part, drive_part
from .target import open_target

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(words: list[str]) -> int:
    """Drive the part that the job names, from the start that standard input tells."""
    path = Path(words[0])
    job = msgspec.json.decode(path.read_bytes(), type=ShardJob)
    _die_with(job.parent)
    try:
        with open_target(job.endpoint, job.payloads, max_connections=job.max_connections) as target:
            drive = drive_part(
                target.transport,
                target.payloads,
                job.arrivals,
                timeout_s=job.timeout_s,
                keep_every=job.keep_every,
                input_seed=job.input_seed,
                part=Part(turn=job.turn, parts=job.parts, start_ns=_told_start_ns),
            )
    except BenchError as error:
        kind = "target" if isinstance(error, TargetError) else "host"
        _say(ShardNews(kind=kind, message=error.message, hint=error.hint))
        return 1
    write_results(path.parent, drive)
    _say(ShardNews(kind="done"))
    return 0


def _told_start_ns() -> int:
    _say(ShardNews(kind="ready"))
    line = sys.stdin.readline()
    if not line:  # whoever would have told it is gone
        sys.exit(1)
    return int(line)


def _say(news: ShardNews) -> None:
    sys.stdout.write(msgspec.json.encode(news).decode() + "\n")
    sys.stdout.flush()


def _die_with(parent: int) -> None:
    """SIGKILL when the thread that started this process ends, or at once if it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    sys.exit(main(sys.argv[1:]))
