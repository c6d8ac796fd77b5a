"""A worker's end of RabbitMQ: one job at a time, or one batch, acknowledged once the answers are sent.

A job whose worker is lost is given to another one, as RabbitMQ promises, until it expires.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pika  # type: ignore[import-untyped]
from pika.exceptions import AMQPError  # type: ignore[import-untyped]

from servers.front.jobs import Hello, Job, JobHead, Reply, pack, unpack
from servers.front.transport import Taken

from .rabbitmq_names import HELLO, JOBS, parameters

if TYPE_CHECKING:
    from servers.front.config import FrontConfig


class RabbitMQConsumer:
    """Connected to the broker; every method raises ConnectionError once it has ended."""

    def __init__(self, config: FrontConfig) -> None:
        try:
            self._channel = pika.BlockingConnection(parameters(config)).channel()
            for queue in (JOBS, HELLO):
                self._channel.queue_declare(queue)
            batching = config.server.batching
            self._channel.basic_qos(prefetch_count=batching.max_batch if batching else 1)
        except AMQPError as error:
            raise _gone(error) from error

    def attach(self, hello: Hello) -> None:
        """Be counted in."""
        try:
            self._channel.basic_publish("", HELLO, pack(hello, b""))
        except AMQPError as error:
            raise _gone(error) from error

    def take(self, wait_s: float | None) -> Taken | None:
        """The next job; the broker holds back what the worker has no use for until this one is acknowledged."""
        try:
            method, properties, message = next(self._channel.consume(JOBS, inactivity_timeout=wait_s))
        except (AMQPError, StopIteration) as error:
            raise _gone(error) from error
        if method is None:
            return None
        head, body = unpack(message, JobHead)
        ticket = (method.delivery_tag, properties.reply_to)
        return Taken(job=Job(head=head, body=body), dequeued_ns=time.perf_counter_ns(), ticket=ticket)

    def answer(self, taken: Taken, reply: Reply) -> None:
        """Send the answer to whom asked, then acknowledge the job."""
        tag, reply_to = taken.ticket
        try:
            self._channel.basic_publish("", reply_to, pack(reply.head, reply.body))
            self._channel.basic_ack(tag)
        except AMQPError as error:
            raise _gone(error) from error


def _gone(error: Exception) -> ConnectionError:
    return ConnectionError(f"RabbitMQ cannot be reached: {str(error) or type(error).__name__}")
