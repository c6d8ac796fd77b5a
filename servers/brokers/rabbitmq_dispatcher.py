"""The front's end of RabbitMQ: publishes jobs, and is sent the answers directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pika import BasicProperties  # type: ignore[import-untyped]
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]

from servers.front.jobs import Hello, Job, Reply, ReplyHead, pack, unpack

from .rabbitmq_names import HELLO, JOBS, REPLIES, parameters

if TYPE_CHECKING:
    from servers.front.config import FrontConfig
    from servers.front.waiting import Waiting

_Callback = Callable[..., None]
_Call = Callable[[_Callback, _Callback], object]
"""A call of pika, given what to call once it is done and when it fails."""


class RabbitMQDispatcher:
    """One connection in the front's event loop, one channel."""

    def __init__(self, config: FrontConfig, waiting: Waiting) -> None:
        self._config = config
        self._waiting = waiting
        self._expiration_ms = str(round(config.timeout_s * 1e3))
        self._connection: Any = None
        self._channel: Any = None

    async def open(self) -> None:
        """Connect, and listen for answers and for workers."""
        self._connection = await _called(self._connect)
        self._channel = await _called(lambda done, _: self._connection.channel(on_open_callback=done))
        for queue in (JOBS, HELLO):
            await _called(self._declaration(queue))
        await _called(self._consumption(HELLO, self._on_hello))
        await _called(self._consumption(REPLIES, self._on_reply))

    def dispatch(self, job: Job) -> None:
        """Publish a job that the broker drops when it was not taken in time."""
        properties = BasicProperties(reply_to=REPLIES, expiration=self._expiration_ms)
        self._channel.basic_publish("", JOBS, pack(job.head, job.body), properties)

    async def close(self) -> None:
        """Leave the broker."""
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _connect(self, done: _Callback, failed: _Callback) -> None:
        AsyncioConnection(parameters(self._config), done, failed, on_close_callback=self._on_close)

    def _declaration(self, queue: str) -> _Call:
        return lambda done, _: self._channel.queue_declare(queue, callback=done)

    def _consumption(self, queue: str, listener: _Callback) -> _Call:
        return lambda done, _: self._channel.basic_consume(queue, listener, auto_ack=True, callback=done)

    def _on_hello(self, _channel: Any, _method: Any, _properties: Any, message: bytes) -> None:
        self._waiting.attach(unpack(message, Hello)[0])

    def _on_reply(self, _channel: Any, _method: Any, _properties: Any, message: bytes) -> None:
        head, body = unpack(message, ReplyHead)
        self._waiting.settle(Reply(head=head, body=body))

    def _on_close(self, _connection: Any, reason: BaseException) -> None:
        self._waiting.lose_all(f"RabbitMQ has ended: {reason}")


async def _called(start: _Call) -> Any:
    """What a call of pika passes to its callback, always as the first argument; ConnectionError when it fails."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(result: Any, *_: Any) -> None:
        if not future.done():
            future.set_result(result)

    def failed(_connection: Any, error: BaseException) -> None:
        if not future.done():
            future.set_exception(ConnectionError(f"RabbitMQ cannot be reached: {error}"))

    start(done, failed)
    return await future
