"""What the front and the workers of a RabbitMQ topology agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.core.serving import LOOPBACK

from .rabbitmq import USER

if TYPE_CHECKING:
    from servers.front.config import FrontConfig

JOBS = "jobs"
HELLO = "hello"
#: RabbitMQ's direct reply-to: answers reach the asker's channel without a queue of their own.
REPLIES = "amq.rabbitmq.reply-to"

CONNECT_ATTEMPTS, CONNECT_PAUSE_S = 50, 0.2  # the port is open a moment before the broker lets anyone in


def parameters(config: FrontConfig) -> Any:
    """How to connect; without heartbeats, for a worker that computes cannot answer them."""
    import pika  # type: ignore[import-untyped]

    return pika.ConnectionParameters(
        host=LOOPBACK,
        port=int(config.server.address),
        credentials=pika.PlainCredentials(USER, config.server.secret),
        heartbeat=0,
        connection_attempts=CONNECT_ATTEMPTS,
        retry_delay=CONNECT_PAUSE_S,
    )
