"""Ways to break file operations at a chosen moment: an error from the n-th one, or death just before it."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Everything the durable parts of the harness do to files, as (module, name).
_OPERATIONS = (
    (builtins, "open"),
    (io, "open"),
    *((os, name) for name in ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "ftruncate", "fchmod")),
    (os, "copy_file_range"),
)
_DIED = 9


@contextmanager
def before_operation(number: int, happen: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Call `happen` in place of the file operation with this number (from 0); yields how many were begun."""
    begun = 0
    originals = [(module, name, getattr(module, name)) for module, name in _OPERATIONS]

    def intercepted(original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == number + 1:
                happen()
            return original(*arguments, **options)

        return operation

    for module, name, original in originals:
        setattr(module, name, intercepted(original))
    try:
        yield lambda: begun
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def fail_with(code: int) -> Callable[[], None]:
    """Something to happen: the operating system answers with this error number."""

    def happen() -> None:
        raise OSError(code, os.strerror(code))

    return happen


def die_before_each_operation(action: Callable[[], object]) -> Iterator[int]:
    """Run `action` in one forked child after the other, each dying without any clean-up one operation later.

    Yields after each death, so that what is left can be looked at and put back; ends with the child that finished.
    """
    number = 0
    while not _finishes_in_child(action, number):
        yield number
        number += 1


def _finishes_in_child(action: Callable[[], object], number: int) -> bool:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with before_operation(number, lambda: os._exit(_DIED)):
                action()
            status = 0
        finally:
            os._exit(status)
    _, raw = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(raw)
    if code not in (0, _DIED):
        raise AssertionError(f"the action failed in the child that was to die before operation {number}")
    return code == 0
