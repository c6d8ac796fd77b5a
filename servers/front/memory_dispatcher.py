"""The front's end of the shared memory: gives slots out, writes bodies, reads answers, sees workers come and go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from servers.batching import Full

from .area import Area, new_area
from .jobs import Hello, Job, Reply
from .memory_wire import Done, Ready, Welcome, fits, is_same_user, large_body, receive, send, send_large
from .transport import HeadTooLarge

if TYPE_CHECKING:
    from .config import FrontConfig
    from .waiting import Waiting

_SEND_BUFFER_BYTES = 4 << 20  # asked for; the kernel gives what it allows, and a job that finds no room is refused
_LISTEN_BACKLOG = 64


class MemoryDispatcher:
    """Owns the area, the queue's writing end, and a connection to each worker.

    A worker that is killed in the microseconds between its reading of a job and its claim takes the job along: it is
    answered by the front's time-out, and its slot stays out of use.
    """

    def __init__(self, config: FrontConfig, waiting: Waiting) -> None:
        self._address = f"\0{config.server.address}"
        self._waiting = waiting
        self._slots = waiting.limit
        self._free = list(range(self._slots))  # the one used last comes first: its pages are in the caches
        self._jobs: dict[int, int] = {}  # slot -> number of the job that it holds
        self._workers: dict[socket.socket, int] = {}  # those that said hello
        self._strangers: set[socket.socket] = set()  # those that did not yet
        self._descriptor = new_area(self._slots)
        self._area = Area(self._descriptor, self._slots)
        self._queue, self._reading_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._queue.setblocking(False)
        self._queue.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def open(self) -> None:
        """Listen for workers."""
        self._listener.setblocking(False)
        self._listener.bind(self._address)
        self._listener.listen(_LISTEN_BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener, self._welcome)

    def dispatch(self, job: Job) -> None:
        """Write the body into a free slot, then tell the queue."""
        if not self._free:
            raise Full
        slot = self._free.pop()
        ready = Ready(head=job.head, slot=slot, length=len(job.body))
        try:
            if fits(len(job.body)):
                self._area.write(slot, job.body)
                send(self._queue, ready)
            else:
                send_large(self._queue, ready, job.body)
        except BlockingIOError:
            self._free.append(slot)
            raise Full from None
        except HeadTooLarge:
            self._free.append(slot)
            raise
        self._jobs[slot] = job.head.number

    async def close(self) -> None:
        """Unmap everything; the workers see the end of the queue and leave."""
        loop = asyncio.get_running_loop()
        for connection in (self._listener, *self._workers, *self._strangers):
            loop.remove_reader(connection)
            connection.close()
        self._queue.close()
        self._reading_end.close()
        self._area.close()
        os.close(self._descriptor)

    # ---------------------------------------------------------------------------------------------------------- workers

    def _welcome(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        if not is_same_user(connection):
            connection.close()
            return
        send(connection, Welcome(slots=self._slots), (self._descriptor, self._reading_end.fileno()))
        self._strangers.add(connection)
        asyncio.get_running_loop().add_reader(connection, partial(self._on_hello, connection))

    def _on_hello(self, connection: socket.socket) -> None:
        packet = receive(connection, Hello)
        self._strangers.discard(connection)
        loop = asyncio.get_running_loop()
        if packet is None or not self._waiting.attach(packet[0]):
            loop.remove_reader(connection)
            connection.close()
            return
        self._workers[connection] = packet[0].worker
        loop.add_reader(connection, partial(self._on_done, connection))

    def _on_done(self, connection: socket.socket) -> None:
        packet = receive(connection, Done)
        if packet is None:
            self._lose(connection)
            return
        done, descriptors = packet
        if self._jobs.get(done.slot) == done.head.number:
            body = large_body(descriptors, done.length) if descriptors else self._area.read(done.slot, done.length)
            self._release(done.slot)
            self._waiting.settle(Reply(head=done.head, body=body))

    def _lose(self, connection: socket.socket) -> None:
        """A worker has ended: what it had is answered, and what nobody is left to take."""
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        worker = self._workers.pop(connection)
        self._waiting.lose(worker)
        if not self._workers:
            self._drain()
        for slot, number in list(self._jobs.items()):
            if not self._workers or self._area.owner(slot) == worker:
                self._release(slot)
                self._waiting.fail(number, 503, "the worker that had the request has ended")

    def _drain(self) -> None:
        """Take back what is in the queue, or a worker to come would find slots that belong to other jobs."""
        with contextlib.suppress(BlockingIOError):
            while packet := receive(self._reading_end, Ready, socket.MSG_DONTWAIT):
                for descriptor in packet[1]:
                    os.close(descriptor)

    def _release(self, slot: int) -> None:
        del self._jobs[slot]
        self._area.release(slot)
        self._free.append(slot)
