"""Signals that ask a run to stop, as bytes in a pipe: a handler that raises could lose a child between two lines."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from bench.core.errors import HostError

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _note(number: int, frame: FrameType | None) -> None:
    """Nothing: Python has written the number to the wake-up descriptor before it calls this."""


class SignalWatch:
    """Collects SIGINT, SIGTERM and SIGHUP between `open` and `close`; one that was ignored before stays ignored."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._reader = self._writer = -1
        self._previous_wakeup = -1
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def open(self) -> int:
        """Take the signals over; returns the descriptor that becomes readable when one arrives."""
        if threading.current_thread() is not threading.main_thread():
            raise HostError("processes are supervised from the main thread only: signals arrive there")
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a background job of a shell
                self._previous[number] = signal.signal(number, _note)
        return self._reader

    def drain(self) -> None:
        """Move what has arrived to `seen`."""
        try:
            numbers = os.read(self._reader, 4096)
        except BlockingIOError:
            return
        self.seen += [number for number in numbers if number in self._previous]

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self.drain()
        os.close(self._reader)
        os.close(self._writer)
