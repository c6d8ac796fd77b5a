"""An HTTP server that serves one request at a time, first come, first served, each for a time known beforehand.

`python fifo_server.py '{"services_ms": [5], "stall_s": [3, 1]}'` prints its port. The services take turns in order of
arrival; a stall begins so long after the first request. No services: every request is answered at once.
"""

from __future__ import annotations

import asyncio
import json
import select
import selectors
import sys
from typing import Any, cast

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Selector:
    """asyncio rounds its timers up to whole milliseconds; this one asks `select` to wait for microseconds."""

    def __init__(self, selector: Any) -> None:
        self._selector = selector

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout > 0:
            select.select([self._selector], [], [], timeout)
        return self._selector.select(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


class Queue:
    """When each request in order of arrival is done."""

    def __init__(self, services_ms: list[float], stall_s: tuple[float, float]) -> None:
        self._services_ms = services_ms
        self._stall_s = stall_s
        self._count = 0
        self._first = self._free = 0.0

    def done_at(self, now: float) -> float:
        """When the request that arrives now is done, in seconds; called once for each."""
        if not self._count:
            self._first = now
        service = self._services_ms[self._count % len(self._services_ms)] / 1e3
        self._count += 1
        start = max(now, self._free)
        begin, duration = self._first + self._stall_s[0], self._stall_s[1]
        if begin <= start < begin + duration:
            start = begin + duration
        self._free = start + service
        return self._free


class _Protocol(asyncio.Protocol):
    def __init__(self, queue: Queue | None) -> None:
        self._queue = queue
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._data.endswith(b"\r\n\r\n"):  # requests come without a body
            return
        self._data = b""
        if self._queue is None:
            self._transport.write(_ANSWER)
        else:
            loop = asyncio.get_running_loop()
            loop.call_at(self._queue.done_at(loop.time()), self._transport.write, _ANSWER)


async def _serve(services_ms: list[float], stall_s: tuple[float, float]) -> None:
    queue = Queue(services_ms, stall_s) if services_ms else None
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(queue), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until the end."""
    words = json.loads(sys.argv[1])
    loop = asyncio.SelectorEventLoop(cast("selectors.BaseSelector", _Selector(selectors.EpollSelector())))
    loop.run_until_complete(_serve(words.get("services_ms", []), tuple(words.get("stall_s", (0, 0)))))


if __name__ == "__main__":
    main()
