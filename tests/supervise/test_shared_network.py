"""Processes that do not speak, and children that share one private network."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.supervise import ProcessSpec, Supervisor

from .conftest import living_descendants, wait_until

LISTEN = """
import socket, signal, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    listener.accept()[0].sendall(b"here")
"""
CONNECT = """
import socket, sys
try:
    print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).recv(4).decode())
except ConnectionRefusedError:
    print("nobody")
"""
PORT = "18473"


def silent(tmp_path: Path, name: str, code: str, **more: object) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-S", "-c", code, PORT),
        environment={"PATH": os.environ["PATH"]},
        working_dir=tmp_path,
        log_path=tmp_path / f"{name}.log",
        speaks=False,
        **more,  # type: ignore[arg-type]
    )


def said(supervisor: Supervisor, path: Path, word: str) -> bool:
    def heard() -> bool:
        supervisor.gather(())
        return path.exists() and word in path.read_text()

    return wait_until(heard)


def test_a_child_that_joins_reaches_the_server_of_the_other(supervisor: Supervisor, tmp_path: Path) -> None:
    server = supervisor.start(silent(tmp_path, "server", LISTEN))
    assert said(supervisor, tmp_path / "server.log", "listening")
    supervisor.start(silent(tmp_path, "client", CONNECT, joins=server))
    assert said(supervisor, tmp_path / "client.log", "here")


def test_a_child_that_does_not_join_has_a_network_of_its_own(supervisor: Supervisor, tmp_path: Path) -> None:
    if supervisor.isolation != "namespace":
        pytest.skip("process groups share the host's network: ports are checked by a nonce there")
    supervisor.start(silent(tmp_path, "server", LISTEN))
    assert said(supervisor, tmp_path / "server.log", "listening")
    supervisor.start(silent(tmp_path, "client", CONNECT))
    assert said(supervisor, tmp_path / "client.log", "nobody")


def test_a_process_that_does_not_speak_leaves_at_sigterm_and_that_is_no_failure(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    server = supervisor.start(silent(tmp_path, "server", LISTEN))
    assert said(supervisor, tmp_path / "server.log", "listening")
    death = supervisor.stop(server)
    assert (death.status, death.signal_name) == ("ok", "SIGTERM")
    assert living_descendants() == []


def test_one_that_ignores_sigterm_is_killed_with_its_whole_tree(supervisor: Supervisor, tmp_path: Path) -> None:
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); print('deaf', flush=True);"
        " time.sleep(60)"
    )
    server = supervisor.start(silent(tmp_path, "server", stubborn))
    assert said(supervisor, tmp_path / "server.log", "deaf")
    started = time.monotonic()
    supervisor.stop(server, grace_s=0.1)
    assert time.monotonic() - started < 3
    assert living_descendants() == []


def test_one_that_ends_by_itself_is_told_as_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    server = supervisor.start(silent(tmp_path, "server", "import sys; print('no model'); sys.exit(3)"))

    def is_dead() -> bool:
        supervisor.gather(())
        return server.death is not None

    assert wait_until(is_dead)
    assert server.death is not None
    assert (server.death.status, server.death.exit_code) == ("failed", 3)
    assert "no model" in server.death.reason
