"""The ways between a front and its workers, and what both ends of each promise."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .jobs import Hello, Job, Reply

if TYPE_CHECKING:
    from .config import FrontConfig
    from .waiting import Waiting

#: name -> the front's end and the worker's; nothing is imported before it is asked for.
_TRANSPORTS: Mapping[str, tuple[str, str]] = {
    "rabbitmq": (
        "servers.brokers.rabbitmq_dispatcher:RabbitMQDispatcher",
        "servers.brokers.rabbitmq_consumer:RabbitMQConsumer",
    ),
    "redis": ("servers.brokers.redis_dispatcher:RedisDispatcher", "servers.brokers.redis_consumer:RedisConsumer"),
    "shared_memory": (
        "servers.front.memory_dispatcher:MemoryDispatcher",
        "servers.front.memory_consumer:MemoryConsumer",
    ),
}


class HeadTooLarge(Exception):
    """The head of a job is more than the transport carries."""


class Dispatcher(Protocol):
    """The front's end, within its event loop; replies and workers that come and go are told to a `Waiting`."""

    async def open(self) -> None:
        """Get ready for jobs and workers; OSError when whom it needs cannot be reached."""
        ...

    def dispatch(self, job: Job) -> None:
        """Put a job where idle workers take it from, in order; Full when there is no room, HeadTooLarge."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A job in the hands of the worker that took it; `ticket` is the transport's own."""

    job: Job
    dequeued_ns: int
    ticket: Any


class Consumer(Protocol):
    """A worker's end; its methods are called by one thread and raise OSError when the other side is gone."""

    def attach(self, hello: Hello) -> None:
        """Tell the front that this worker is ready."""
        ...

    def take(self, wait_s: float | None) -> Taken | None:
        """The next job, or None when there was none for `wait_s` seconds; None waits for ever."""
        ...

    def answer(self, taken: Taken, reply: Reply) -> None:
        """Send the reply to a job that was taken."""
        ...


def open_dispatcher(config: FrontConfig, waiting: Waiting) -> Dispatcher:
    """The front's end of the configured transport."""
    dispatcher: Dispatcher = _load(_TRANSPORTS[config.transport][0])(config, waiting)
    return dispatcher


def open_consumer(config: FrontConfig) -> Consumer:
    """A worker's end of the configured transport, connected; OSError when the other side cannot be reached."""
    consumer: Consumer = _load(_TRANSPORTS[config.transport][1])(config)
    return consumer


def _load(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
