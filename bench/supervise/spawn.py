"""Starts the launcher of one child, and finds out once which containment works here."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bench.core.errors import HostError

from .messages import Isolation

NONCE_VARIABLE = "DEPLOYBENCH_NONCE"
# Imported rather than run by its path, so that its compiled form is used: a third of its start-up otherwise.
_LAUNCHER = "import sys; sys.path.append(sys.argv[1]); import launch; launch.main(int(sys.argv[2]))"
_PROBE_S = 10.0
_PACKET_BYTES = 1 << 16


_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Which network a child sees; `joined` are descriptors of namespaces to enter, with their kinds, in that order."""

    kind: Literal["private", "host", "joined"] = "private"
    joined: tuple[tuple[int, int], ...] = ()


@contextmanager
def network_of(pid: int) -> Iterator[Network]:
    """The network namespace of a living process, to be joined while the block lasts; HostError when it has ended."""
    opened: list[tuple[int, int]] = []
    try:
        if os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user"):
            opened.append((os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC), _CLONE_NEWUSER))
        opened.append((os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC), _CLONE_NEWNET))
        yield Network(kind="joined", joined=tuple(opened))
    except OSError as error:
        raise HostError(f"the network of process {pid} cannot be joined: {error}", hint="bench doctor") from error
    finally:
        for descriptor, _ in opened:
            os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launched:
    """The parent's ends of a launcher that has been told what to start."""

    process: subprocess.Popen[bytes]
    pidfd: int
    control: socket.socket
    result: socket.socket
    log_reader: int


def launch(
    *,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    working_dir: Path,
    orders: Mapping[str, Any],
    nonce: str,
    isolation: Isolation,
    speaks: bool = True,
    network: Network | None = None,
) -> Launched:
    """Start a launcher in a session of its own; HostError when not even that works."""
    network = network or Network()
    control, control_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    result, result_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    log_reader, log_writer = os.pipe()
    os.set_blocking(log_reader, False)
    control.setblocking(False)
    # The kernel then attaches the sender's process id, as this process sees it, to every packet.
    control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    request = {
        "isolation": isolation,
        "argv": argv,
        "environment": {**environment, NONCE_VARIABLE: nonce},
        "working_dir": str(working_dir),
        "orders": dict(orders),
        "result_fd": result_end.fileno(),
        "speaks": speaks,
        "network": network.kind,
        "joined_fds": network.joined,
    }
    try:
        control.send(json.dumps(request).encode())
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(Path(__file__).parent), str(control_end.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log_writer,
            stderr=log_writer,
            pass_fds=(control_end.fileno(), result_end.fileno(), *(descriptor for descriptor, _ in network.joined)),
            start_new_session=True,  # Ctrl-C in the terminal reaches the runner alone
            env=_launcher_environment(nonce),
            cwd="/",
        )
        pidfd = os.pidfd_open(process.pid)
    except OSError as error:
        control.close()
        result.close()
        os.close(log_reader)
        raise HostError(f"{argv[0]} cannot be started: {error}") from error
    finally:
        control_end.close()
        result_end.close()
        os.close(log_writer)
    return Launched(process=process, pidfd=pidfd, control=control, result=result, log_reader=log_reader)


def _launcher_environment(nonce: str) -> dict[str, str]:
    """The mark by which leftovers are known, and what this Python may need to find its own libraries."""
    return {NONCE_VARIABLE: nonce} | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


@cache
def namespace_blocker() -> str:
    """Why namespaces cannot be used here, found by starting a program that does nothing in them; empty if they can."""
    launched = launch(
        argv=(sys.executable, "-I", "-S", "-c", "pass"),
        environment={},
        working_dir=Path("/"),
        orders={},
        nonce="probe",
        isolation="namespace",
    )
    try:
        launched.control.settimeout(_PROBE_S)
        while packet := launched.control.recv(_PACKET_BYTES):
            message = json.loads(packet)
            if "error" in message:
                return str(message["error"])
            if "exit" in message:
                return "" if message["exit"] == 0 else f"the probe ended with status {message['exit']}"
        return "the launcher ended without a word"
    except TimeoutError:
        return f"the probe did not end within {_PROBE_S:g} s"
    finally:
        launched.control.close()  # makes it end, if it has not
        launched.result.close()
        os.close(launched.log_reader)
        os.close(launched.pidfd)
        launched.process.wait()
