"""`python -m servers.tfs.server --port=... --model_base_path=...`: the TFS-protocol server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

import bench
from bench.core.errors import BenchError

from .flags import parse_flags


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status is that of the error where it cannot."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        flags = parse_flags(words)
        if flags.version:
            sys.stdout.write(f"deploybench TFS-protocol server {bench.__version__}\n")
            return 0
        from .assembly import Server

        for name in flags.ignored:
            say(f"--{name} has no effect in this server")
        server = Server(flags, say)
        say(f"serving on port {flags.port}" + (f", REST on port {flags.rest_api_port}" if flags.rest_api_port else ""))
        server.watch(stopped)
        server.stop()
    except BenchError as error:
        say(error.message + (f" ({error.hint})" if error.hint else ""))
        return error.exit_code
    return 0


def say(line: str) -> None:
    """One line of the log."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Without the interpreter's tear-down, which would wait for threads whose calls nobody waits for any more.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
