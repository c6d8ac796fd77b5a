"""A small runner, started by tests as a process of its own to be signalled: MODE RUN_DIR ISOLATION."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.core.errors import Interrupted
from bench.supervise import ProcessSpec, Supervisor, worker_environment

CHILD = Path(__file__).with_name("synthetic_child.py")


def tell(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def churn(supervisor, spec):
    """Start, let a daemon loose, stop, again and again."""
    while True:
        child = supervisor.start(spec)
        tell("started")
        supervisor.gather([supervisor.ask(child, "daemonise", {}, deadline_s=30)])
        tell("loose")
        supervisor.gather([supervisor.ask(child, "late", {"seconds": 0.1}, deadline_s=30)])
        supervisor.stop(child)


def patient(supervisor, spec):
    """Finish what is under way after the first interrupt."""
    child = supervisor.start(spec)
    ticket = supervisor.ask(child, "late", {"seconds": 1.0}, deadline_s=30)
    tell("started")
    try:
        supervisor.gather([ticket])
    except Interrupted:
        tell(supervisor.gather([ticket])[ticket])
        raise


def stubborn(supervisor, spec):
    """Wait on after the first interrupt for what will not end."""
    child = supervisor.start(spec)
    ticket = supervisor.ask(child, "ignore_sigterm", {}, deadline_s=60)
    tell("started")
    try:
        supervisor.gather([ticket])
    except Interrupted:
        tell("first")
        supervisor.gather([ticket])


def main(mode, run_dir, isolation):
    path = Path(run_dir)
    spec = ProcessSpec(
        name=mode,
        argv=(sys.executable, "-S", str(CHILD)),
        environment=worker_environment(os.environ, 1, fallback_home=path / "home", seed=1),
        working_dir=Path("/"),
        log_path=path / "child.log",
    )
    try:
        with Supervisor(path, isolation=isolation) as supervisor:
            tell(f"swept {','.join(supervisor.swept)}")
            {"churn": churn, "patient": patient, "stubborn": stubborn}[mode](supervisor, spec)
    except Interrupted as interrupt:
        return interrupt.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
