"""The front's end of Redis: jobs are appended to a stream, answers come through a list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from servers.batching import Full
from servers.front.jobs import Hello, Job, Reply, ReplyHead, pack, unpack

from .redis_names import FIELD, HELLO, JOBS, REPLIES, settings

if TYPE_CHECKING:
    from servers.front.config import FrontConfig
    from servers.front.waiting import Waiting

_ANSWERS_AT_ONCE = 64


class RedisDispatcher:
    """Two connections in the front's event loop: one sends, one waits for answers."""

    def __init__(self, config: FrontConfig, waiting: Waiting) -> None:
        self._waiting = waiting
        self._client: Any = redis.asyncio.Redis(**settings(config), retry=Retry(NoBackoff(), 0))
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue(waiting.limit)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect, and listen for answers and for workers."""
        try:
            await self._client.ping()
        except redis.RedisError as error:
            raise ConnectionError(f"Redis cannot be reached: {error}") from error
        self._tasks = [asyncio.create_task(self._while_it_lives(work)) for work in (self._send, self._listen)]

    def dispatch(self, job: Job) -> None:
        """Leave a job to the task that sends."""
        try:
            self._unsent.put_nowait(pack(job.head, job.body))
        except asyncio.QueueFull:
            raise Full from None

    async def close(self) -> None:
        """Leave the broker."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _while_it_lives(self, work: Any) -> None:
        try:
            while True:
                await work()
        except redis.RedisError as error:
            self._waiting.lose_all(f"Redis has ended: {error}")

    async def _send(self) -> None:
        """All that is there at once, in one round trip."""
        messages = [await self._unsent.get()]
        while not self._unsent.empty():
            messages.append(self._unsent.get_nowait())
        async with self._client.pipeline(transaction=False) as pipeline:
            for message in messages:
                pipeline.xadd(JOBS, {FIELD: message})
            await pipeline.execute()

    async def _listen(self) -> None:
        key, messages = await self._client.blmpop(0, 2, HELLO, REPLIES, direction="LEFT", count=_ANSWERS_AT_ONCE)
        for message in messages:
            if key == HELLO.encode():
                self._waiting.attach(unpack(message, Hello)[0])
            else:
                head, body = unpack(message, ReplyHead)
                self._waiting.settle(Reply(head=head, body=body))
