"""What the front and the workers of a Redis topology agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.core.serving import LOOPBACK

if TYPE_CHECKING:
    from servers.front.config import FrontConfig

JOBS = "jobs"  # a stream
GROUP = "workers"
REPLIES = "replies"  # a list
HELLO = "hello"  # a list
FIELD = "message"


def settings(config: FrontConfig) -> dict[str, Any]:
    """How to connect; waiting for a job or an answer has no time-out, for there may be none for long.

    A client must be told besides that it tries nothing again: a job would come twice.
    """
    return {
        "host": LOOPBACK,
        "port": int(config.server.address),
        "password": config.server.secret,
        "socket_timeout": None,
        "protocol": 2,  # answers have another form in each version of the protocol
    }
