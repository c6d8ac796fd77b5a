"""What the driver's loop needs of whatever carries requests: sockets, or arithmetic on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from .record import RawAnswer, Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What went through a transport since it was opened."""

    connections_opened: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    unsolicited: int = 0


class Transport(Protocol):
    """Carries requests, named by their number in the record, each with the payload of a number.

    Every request that `send` took is finished in the record exactly once: when its answer is whole, when its connection
    breaks, or never once it was cancelled. Nothing here blocks but `wait`.
    """

    #: Monotonic ns; the clock on which all times of the drive are told.
    now_ns: Callable[[], int]

    def running(self, record: Record, connections: int) -> AbstractContextManager[None]:
        """For the time of one drive: endings go to `record`, and about `connections` are open before the first request.

        TargetError when not even one connection can be had.
        """
        ...

    def lead_ns(self, requests: int) -> int:
        """How long before its start a plan of so many requests must be fixed, for the lists to be made meanwhile."""
        ...

    def send(self, request: int, payload: int) -> bool:
        """Begin to send; False when there is no room for another request now, and nothing has happened."""
        ...

    def wait(self, until_ns: int) -> None:
        """Handle what arrives; returns after some of it, or at `until_ns` and not noticeably later."""
        ...

    def cancel(self, request: int) -> None:
        """Give up a request that `send` took and that has not finished."""
        ...

    def opened(self, answer: RawAnswer) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of a kept answer."""
        ...

    def traffic(self) -> Traffic:
        """Totals so far."""
        ...

    def close(self) -> None:
        """Close every connection; twice is harmless."""
        ...
