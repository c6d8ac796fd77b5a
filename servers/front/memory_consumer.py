"""A worker's end of the shared memory: pulls the next job from the queue that all workers share."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING

from .area import Area
from .jobs import Hello, Job, Reply
from .memory_wire import Done, Ready, Welcome, fits, large_body, receive, send, send_large
from .transport import Taken

if TYPE_CHECKING:
    from .config import FrontConfig

_GONE = "the front has ended"


class MemoryConsumer:
    """Connected to the front; every method raises ConnectionError once the front has ended."""

    def __init__(self, config: FrontConfig) -> None:
        self._front = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._front.connect(f"\0{config.server.address}")
        packet = receive(self._front, Welcome)
        if packet is None:
            raise ConnectionResetError(_GONE)
        welcome, (area, queue) = packet
        self._area = Area(area, welcome.slots)
        os.close(area)
        self._queue = socket.socket(fileno=queue)
        self._worker = -1

    def attach(self, hello: Hello) -> None:
        """Be counted in."""
        self._worker = hello.worker
        send(self._front, hello)

    def take(self, wait_s: float | None) -> Taken | None:
        """The next job; another worker may be faster, so what seemed to be there may not be."""
        flags = 0
        if wait_s is not None:
            if not select.select([self._queue], [], [], wait_s)[0]:
                return None
            flags = socket.MSG_DONTWAIT  # a flag of the call: the socket itself is shared with all workers
        try:
            packet = receive(self._queue, Ready, flags)
        except BlockingIOError:
            return None
        if packet is None:
            raise ConnectionResetError(_GONE)
        ready, descriptors = packet
        self._area.claim(ready.slot, self._worker)
        body = large_body(descriptors, ready.length) if descriptors else self._area.read(ready.slot, ready.length)
        return Taken(job=Job(head=ready.head, body=body), dequeued_ns=time.perf_counter_ns(), ticket=ready.slot)

    def answer(self, taken: Taken, reply: Reply) -> None:
        """Write the body where the job's was, then tell the front."""
        done = Done(head=reply.head, slot=taken.ticket, length=len(reply.body))
        if fits(len(reply.body)):
            self._area.write(taken.ticket, reply.body)
            send(self._front, done)
        else:
            send_large(self._front, done, reply.body)

    def close(self) -> None:
        """Leave the front."""
        self._queue.close()
        self._front.close()
        self._area.close()
