"""Misbehaviour on request, so that the harness can be shown to survive a model that crashes, hangs or shouts.

For testing deploybench itself: `fault` and `fault_phase` of a null model name one of these.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

_FLOOD_BYTES = 10_000_000
_CHUNK_BYTES = 16 << 20
_FOREVER_S = 3600


class InjectedFault(Exception):
    """What `raise` raises: its constructor takes two words, so it cannot be rebuilt from its text alone."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


def trigger(fault: str, phase: str, memory_bytes: int) -> None:
    """Do what `fault` names; most never return. `memory_bytes` is where `memory` stops by itself."""
    if fault == "raise":
        raise InjectedFault("an injected fault", phase)
    if fault == "memory":
        _take_memory(memory_bytes)
        return
    _ACTIONS[fault]()


def _segfault() -> None:
    ctypes.string_at(0)


def _exit_without_answer() -> NoReturn:
    os._exit(0)


def _hang() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # a dead lock: Python's signal handlers still run


def _hang_in_native_code() -> NoReturn:
    sleep = ctypes.PyDLL(None).sleep  # PyDLL keeps the interpreter lock: no Python signal handler runs meanwhile
    while True:
        sleep(_FOREVER_S)


def _shout_for_ever() -> NoReturn:
    while True:
        sys.stdout.write("still here\n")
        sys.stdout.flush()
        time.sleep(0.01)


def _flood() -> None:
    """Ten megabytes without a line end, not UTF-8, with terminal escapes; then go on."""
    os.write(1, b"\xff\x1b]0;owned\x07")
    remaining = _FLOOD_BYTES
    while remaining > 0:
        remaining -= os.write(1, b"x" * min(remaining, 65_536))


def _orphan() -> None:
    """A grandchild in a session of its own that keeps stdout open; then go on."""
    subprocess.Popen(["sleep", str(_FOREVER_S)], start_new_session=True)  # noqa: S607  any `sleep` will do


def _take_memory(memory_bytes: int) -> None:
    taken: list[bytes] = []
    while len(taken) * _CHUNK_BYTES < memory_bytes:
        taken.append(b"\1" * _CHUNK_BYTES)  # written to, so that it counts as resident


_ACTIONS: Mapping[str, Callable[[], None]] = {
    "segfault": _segfault,
    "abort": os.abort,
    "exit": _exit_without_answer,
    "hang": _hang,
    "native_hang": _hang_in_native_code,
    "chatty": _shout_for_ever,
    "flood": _flood,
    "orphan": _orphan,
}
