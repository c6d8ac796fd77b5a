"""`bench serve` as a process of its own, up until a test ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import ROOT

_LAST_LINE = "Ctrl-C ends it\n"


@dataclass
class Serving:
    """A server that `bench serve` keeps up, and what it has said so far."""

    process: subprocess.Popen[str]
    said: str
    cache: Path | None  # None: the user's own

    def port(self, protocol: str) -> str:
        """Where it says that this protocol is spoken."""
        found = re.search(rf"^{protocol}: \w+://127\.0\.0\.1:(\d+)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code, and what was printed meanwhile."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def serve(directory: Path, *words: str, cache: Path | None) -> Serving:
    """Returns when it is up; the caller ends it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    if cache is not None:
        environment["DEPLOYBENCH_CACHE"] = str(cache)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "serve", *words],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line == _LAST_LINE:
            return Serving(process=process, said=said, cache=cache)
    _, err = process.communicate()
    raise AssertionError(said + err)


def free_port() -> int:
    """One that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
