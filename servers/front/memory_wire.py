"""What a front and its workers say to each other beside the shared memory, in packets over Unix sockets.

- A worker connects to the front's abstract socket and gets a `Welcome` with two descriptors: the area, and the reading
  end of the queue. It says `Hello` once its model is open, and `Done` with each answer.
- The queue is one socket whose reading end all workers hold: the kernel gives each `Ready` to one worker that waits,
  the one that has waited longest first. So an idle worker pulls the next job, and nobody has to balance.
- When the front ends, however it does, reading from the queue says so at once; when a worker ends, its socket does.

A body that does not fit a slot follows its packet as a descriptor.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from .area import SLOT_BYTES, own_memory, read_own_memory
from .jobs import JobHead, ReplyHead
from .transport import HeadTooLarge

PACKET_BYTES = 96 << 10  # more would be memory of its own for malloc, fetched from the kernel for each packet
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; see unix(7)
_ANCILLARY_BYTES = socket.CMSG_SPACE(2 * array.array("i").itemsize)  # two descriptors
_Packet = TypeVar("_Packet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """With the descriptors of the area and of the queue's reading end."""

    slots: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A job whose body lies in `slot`, or in the descriptor that comes along."""

    head: JobHead
    slot: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """An answer whose body lies in the job's slot, or in the descriptor that comes along."""

    head: ReplyHead
    slot: int
    length: int


def fits(length: int) -> bool:
    """Whether a body travels in a slot."""
    return length <= SLOT_BYTES


def send(connection: socket.socket, packet: object, descriptors: tuple[int, ...] = ()) -> None:
    """One packet; BlockingIOError when the other side's buffer is full and the socket does not block, HeadTooLarge when
    the other side would not read all of it."""
    written = msgspec.json.encode(packet)
    if len(written) > PACKET_BYTES:
        raise HeadTooLarge
    if descriptors:
        socket.send_fds(connection, [written], list(descriptors))
    else:
        connection.send(written)


def send_large(connection: socket.socket, packet: object, body: bytes) -> None:
    """One packet with a body in memory of its own."""
    descriptor = own_memory(body)
    try:
        send(connection, packet, (descriptor,))
    finally:
        os.close(descriptor)


def receive(connection: socket.socket, kind: type[_Packet], flags: int = 0) -> tuple[_Packet, list[int]] | None:
    """The next packet and the descriptors that came along, which the caller closes; None when the other side ended."""
    try:
        # Not socket.recv_fds, which takes flags and forgets them.
        written, ancillary, _, _ = connection.recvmsg(PACKET_BYTES, _ANCILLARY_BYTES, flags)
    except ConnectionResetError:
        return None
    if not written:
        return None
    descriptors = array.array("i")
    for level, what, content in ancillary:
        if level == socket.SOL_SOCKET and what == socket.SCM_RIGHTS:
            descriptors.frombytes(content)
    return msgspec.json.decode(written, type=kind), descriptors.tolist()


def large_body(descriptors: list[int], length: int) -> bytes:
    """The body that came along as a descriptor."""
    (descriptor,) = descriptors
    return read_own_memory(descriptor, length)


def is_same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end runs under our user: abstract sockets have no permissions."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(peer)[1] == os.getuid())
