"""JSON lines to and from the parent, on a descriptor of the child's own: stdout may hold anything."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any


class Channel:
    """The child's end of the pair; closing of the parent's end means: finish."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; NaN is a bug of the sender and raises ValueError."""
        self._socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def hello(self, nonce: str) -> None:
        """First words: who answers."""
        self.send({"hello": nonce, "pid": os.getpid()})

    def phase(self, name: str) -> None:
        """Say what begins, so that a death can be placed."""
        self.send({"phase": name})

    def requests(self) -> Iterator[dict[str, Any]]:
        """Messages of the parent until it closes its end."""
        with self._socket.makefile("rb") as stream:
            for line in stream:
                yield json.loads(line)
