"""What both protocols do with sockets: open them ahead, watch them with one epoll, send what a full buffer refused."""

from __future__ import annotations

import errno
import itertools
import resource
import select
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from bench.core.errors import HostError, TargetError

from .record import Record
from .transport import Traffic
from .waiting import Events, Waiter, punctual_timers

RECEIVE_BYTES = 64 << 10
_READABLE, _WRITABLE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
_CONNECT_TIMEOUT_S = 5.0
_LEAD_NS, _LEAD_PER_REQUEST_NS = 20_000_000, 500
_FILES_BESIDE = 64  # descriptors that this process needs for other things
_BUFFERS_AT_ONCE = 64


class Connection:
    """A socket that never blocks, and the bytes that still have to be sent on it."""

    __slots__ = ("fileno", "receive", "send", "socket", "unsent")

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        self.socket = connected
        self.fileno = connected.fileno()
        self.send: Callable[[bytes | memoryview], int] = connected.send
        self.receive: Callable[[int], bytes] = connected.recv
        self.unsent: deque[memoryview] = deque()


C = TypeVar("C", bound=Connection)


class SocketTransport(ABC, Generic[C]):
    """Connections to one server, each watched for what arrives; a protocol makes of the bytes what they mean."""

    now_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, host: str, port: int, *, max_connections: int) -> None:
        self._address = (host, port)
        self._family, self._resolved = _resolved(host, port)
        self._max_connections = max_connections
        self._epoll = select.epoll()
        self._waiter = Waiter(now_ns=self.now_ns, nap=self._nap, poll=self._epoll.poll)
        self._connections: dict[int, C] = {}
        self._record = Record()
        self._opened = self._sent = self._received = self._unsolicited = 0
        _allow_files(max_connections)

    @contextmanager
    def running(self, record: Record, connections: int) -> Iterator[None]:
        """Connections are opened, and what the server says by itself is read, before the drive begins."""
        self._record = record
        while events := self._epoll.poll(0):  # what happened since the last drive: idle connections were closed
            self._handle(events)
        self._open_ahead(min(connections, self._max_connections))
        try:
            with punctual_timers():
                yield
        except BaseException:
            self._drop_all()  # what they carry belongs to no later drive
            raise
        finally:
            self._record = Record()

    def lead_ns(self, requests: int) -> int:
        """Enough to make lists of them."""
        return _LEAD_NS + requests * _LEAD_PER_REQUEST_NS

    def wait(self, until_ns: int) -> None:
        """Handle what arrives; returns after some of it, or within 80 us before `until_ns`."""
        if ready := self._waiter.wait(until_ns):
            self._handle(ready)

    def _handle(self, ready: Events) -> None:
        connections = self._connections
        for fileno, events in ready:
            connection = connections.get(fileno)
            if connection is None:  # closed by what came just before
                continue
            if events & select.EPOLLOUT:
                self._flush(connection)
            if events & ~select.EPOLLOUT:
                self._read(connection)

    def traffic(self) -> Traffic:
        """Totals so far."""
        return Traffic(
            connections_opened=self._opened,
            bytes_sent=self._sent,
            bytes_received=self._received,
            unsolicited=self._unsolicited,
        )

    def close(self) -> None:
        """Close every connection; twice is harmless."""
        self._drop_all()
        self._epoll.close()

    @abstractmethod
    def _connected(self, opened: socket.socket) -> C:
        """The protocol's connection on a socket that is connected, or about to be."""

    @abstractmethod
    def _received_some(self, connection: C, data: bytes, now_ns: int) -> None:
        """Bytes of the server."""

    @abstractmethod
    def _ended(self, connection: C, now_ns: int) -> None:
        """The server has closed or reset the connection, or never took it; it is dropped already."""

    @abstractmethod
    def _open_ahead(self, connections: int) -> None:
        """Have so many connections ready."""

    def _nap(self, seconds: float) -> None:
        select.select([self._epoll], [], [], seconds)

    def _connect_ahead(self) -> C:
        """A connection that the server has taken; TargetError when it takes none."""
        try:
            opened = socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S)
        except OSError as error:
            host, port = self._address
            raise TargetError(
                f"no connection to {host}:{port}: {error.strerror or error}", hint="is the server still running?"
            ) from error
        return self._watch(opened)

    def _connect_now(self) -> C | None:
        """A connection that may still be on its way, what is sent on it follows once it is there; None when refused.

        HostError when this side has no means left for another: no fault of the server's.
        """
        try:
            opened = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise HostError(f"no further connection: {error.strerror}", hint="see ulimit -n") from error
        code = opened.connect_ex(self._resolved)
        if code in {0, errno.EINPROGRESS}:
            return self._watch(opened)
        opened.close()
        if code in {errno.EADDRNOTAVAIL, errno.EAGAIN}:
            raise HostError(
                f"no port is left for another connection to {self._address[0]}:{self._address[1]}",
                hint="keep connections alive, or send fewer requests: a closed one holds its port for a minute",
            )
        return None

    def _watch(self, opened: socket.socket) -> C:
        connection = self._connected(opened)
        self._connections[connection.fileno] = connection
        self._epoll.register(connection.fileno, _READABLE)
        self._opened += 1
        return connection

    def _drop(self, connection: C) -> None:
        """Close it; nothing of it arrives any more."""
        if self._connections.pop(connection.fileno, None) is not None:
            connection.socket.close()
            connection.unsent.clear()

    def _drop_all(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _transmit(self, connection: C, data: bytes | memoryview) -> None:
        """Send now what the socket takes, the rest when it can take more."""
        if connection.unsent:
            connection.unsent.append(memoryview(data))
            return
        try:
            taken = connection.send(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:  # reset or refused: reading tells the same, in order
            return
        self._sent += taken
        if taken != len(data):
            connection.unsent.append(memoryview(data)[taken:])
            self._epoll.modify(connection.fileno, _WRITABLE)

    def _transmit_all(self, connection: C, pieces: Iterable[bytes | memoryview]) -> None:
        """The same for many pieces, with few calls."""
        must_wait = bool(connection.unsent)
        connection.unsent.extend(map(memoryview, pieces))
        if not must_wait:
            self._flush(connection)
            if connection.unsent:
                self._epoll.modify(connection.fileno, _WRITABLE)

    def _flush(self, connection: C) -> None:
        """The socket takes more again."""
        unsent = connection.unsent
        try:
            while unsent:
                taken = connection.socket.sendmsg(list(itertools.islice(unsent, _BUFFERS_AT_ONCE)))
                self._sent += taken
                while unsent and taken >= len(unsent[0]):
                    taken -= len(unsent.popleft())
                if taken:
                    unsent[0] = unsent[0][taken:]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # as above
            unsent.clear()
        self._epoll.modify(connection.fileno, _READABLE)

    def _read(self, connection: C) -> None:
        try:
            data = connection.receive(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        now_ns = self.now_ns()
        if data:
            self._received += len(data)
            self._received_some(connection, data, now_ns)
        else:
            self._drop(connection)
            self._ended(connection, now_ns)


def _allow_files(connections: int) -> None:
    """Raise this process's own limit of open files where it is lower; HostError when that is not allowed."""
    wanted = connections + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            raise HostError(
                f"{connections} connections need {wanted} open files, {hard} are allowed", hint="see ulimit -n"
            ) from error


def _resolved(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """Family and address of a host, looked up once: a name that is asked for at each connection makes requests late."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise TargetError(f"{host} is no host that is known here: {error.strerror}", hint="name its address") from error
    return family, address
