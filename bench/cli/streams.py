"""Standard streams as a shell may hand them over: closed, of another encoding, or with a reader that goes away."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD = (0, 1, 2)


def make_usable() -> None:
    """Let every word be printed anywhere: what the encoding lacks is shown as an escape, what is closed is silent.

    A closed descriptor is opened on /dev/null: otherwise the next file or socket would get its number, and with it
    whatever a library prints.
    """
    for descriptor in _STANDARD:
        _open_if_closed(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  open as long as the program runs
    sys.stdout = sys.stdout or _silent(1)
    sys.stderr = sys.stderr or _silent(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """`text` with every control character but the line end as an escape: names and messages come from anywhere."""
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def until_the_reader_leaves() -> Iterator[None]:
    """Print as long as somebody reads stdout; when the reader goes away (`| head`), the rest is left out in silence."""
    try:
        yield
    except BrokenPipeError:
        _abandon_stdout()
    except SystemExit as left:
        if not isinstance(left.__context__, BrokenPipeError):  # which is how rich answers a broken pipe
            raise
        _abandon_stdout()


def _abandon_stdout() -> None:
    """Point stdout elsewhere, so that the interpreter's last flush is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one, for those below are open


def _silent(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", encoding="utf-8", closefd=False)
