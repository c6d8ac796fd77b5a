"""A worker's end of Redis: reads a stream as one of a group, one entry at a time.

The job of a worker that is lost is not given to another one: the front's time-out answers it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers.front.jobs import Hello, Job, JobHead, Reply, pack, unpack
from servers.front.transport import Taken

from .redis_names import FIELD, GROUP, HELLO, JOBS, REPLIES, settings

if TYPE_CHECKING:
    from servers.front.config import FrontConfig

_FOREVER_MS = 0
_PAUSE_S = 0.001


class RedisConsumer:
    """Connected to the broker; every method raises ConnectionError once it has ended."""

    def __init__(self, config: FrontConfig) -> None:
        self._client: Any = redis.Redis(**settings(config), retry=Retry(NoBackoff(), 0))
        self._name = ""
        with _as_connection_error(), contextlib.suppress(redis.ResponseError):  # another worker made the group
            self._client.xgroup_create(JOBS, GROUP, id="0", mkstream=True)

    def attach(self, hello: Hello) -> None:
        """Be counted in."""
        self._name = f"worker-{hello.worker}"
        with _as_connection_error():
            self._client.rpush(HELLO, pack(hello, b""))

    def take(self, wait_s: float | None) -> Taken | None:
        """The next entry of the stream.

        Short waits are asked again and again: Redis looks at the time of those it keeps waiting ten times a second.
        """
        give_up_at_s = time.monotonic() + (wait_s or 0.0)
        block_ms = _FOREVER_MS if wait_s is None else None
        while not (found := self._read(block_ms)) and time.monotonic() < give_up_at_s:
            time.sleep(min(_PAUSE_S, max(0.0, give_up_at_s - time.monotonic())))
        if not found:
            return None
        ((_, ((entry, fields),)),) = found
        head, body = unpack(fields[FIELD.encode()], JobHead)
        return Taken(job=Job(head=head, body=body), dequeued_ns=time.perf_counter_ns(), ticket=entry)

    def _read(self, block_ms: int | None) -> Any:
        with _as_connection_error():
            return self._client.xreadgroup(GROUP, self._name, {JOBS: ">"}, count=1, block=block_ms)

    def answer(self, taken: Taken, reply: Reply) -> None:
        """Send the answer, then acknowledge the job and take it out of the stream."""
        with _as_connection_error(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.rpush(REPLIES, pack(reply.head, reply.body))
            pipeline.xack(JOBS, GROUP, taken.ticket)
            pipeline.xdel(JOBS, taken.ticket)
            pipeline.execute()


@contextlib.contextmanager
def _as_connection_error() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise ConnectionError(f"Redis cannot be reached: {error}") from error
