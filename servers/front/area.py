"""Memory that a front and its workers share: slots for bodies, and for each slot the worker that has it.

The memory has no name in any file system, so nothing of it can be left behind: it goes with the last process that
maps it. Pages take memory only once they were written to.
"""

from __future__ import annotations

import mmap
import os

#: A body up to this size travels in a slot; a larger one in memory of its own.
SLOT_BYTES = 256 << 10

_CLAIM_BYTES = 8
_WRITE_BYTES = 1 << 30  # of one call; Linux writes at most 2 GiB at once


class Area:
    """`slots` slots in the memory behind `descriptor`, which the caller keeps or closes."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self._start = -(-slots * _CLAIM_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(descriptor, self._start + slots * SLOT_BYTES)
        self._claims = memoryview(self._memory)[: slots * _CLAIM_BYTES].cast("q")

    def write(self, slot: int, body: bytes) -> None:
        """Put a body into a slot."""
        start = self._start + slot * SLOT_BYTES
        self._memory[start : start + len(body)] = body

    def read(self, slot: int, length: int) -> bytes:
        """A copy of the first `length` bytes of a slot."""
        start = self._start + slot * SLOT_BYTES
        return self._memory[start : start + length]

    def claim(self, slot: int, worker: int) -> None:
        """Note that the worker of that number has the slot now."""
        self._claims[slot] = worker + 1

    def release(self, slot: int) -> None:
        """Note that no worker has the slot."""
        self._claims[slot] = 0

    def owner(self, slot: int) -> int | None:
        """The worker that has the slot."""
        return self._claims[slot] - 1 if self._claims[slot] else None

    def close(self) -> None:
        """Unmap the memory."""
        self._claims.release()
        self._memory.close()


def new_area(slots: int) -> int:
    """The descriptor of fresh memory for an `Area`."""
    descriptor = os.memfd_create("deploybench-front")
    os.ftruncate(descriptor, -(-slots * _CLAIM_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE + slots * SLOT_BYTES)
    return descriptor


def own_memory(body: bytes) -> int:
    """The descriptor of fresh memory that holds a body too large for a slot."""
    descriptor = os.memfd_create("deploybench-body")
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(descriptor, rest[:_WRITE_BYTES]) :]
    return descriptor


def read_own_memory(descriptor: int, length: int) -> bytes:
    """The body in memory that `own_memory` made; closes the descriptor."""
    with open(descriptor, "rb", buffering=0) as stream:
        stream.seek(0)
        body = stream.readall()
    if len(body) != length:
        raise ValueError(f"a body of {len(body)} bytes where {length} were announced")
    return body
