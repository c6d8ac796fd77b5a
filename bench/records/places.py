"""Where results go: said before anything is measured when it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.core.errors import StoreError


def writable_directory(directory: Path, option: str) -> Path:
    """The absolute path of a directory of results, made if need be; StoreError names the `option` that chose it."""
    try:
        str(directory.absolute()).encode()
    except UnicodeEncodeError as error:  # job files and records hold paths, and JSON is Unicode
        raise StoreError(
            f"{str(directory)!a}: the path is not valid UTF-8", hint=f"name another directory: {option}"
        ) from error
    with writing_to(directory, "cannot be made", f"name a directory that you may write: {option}"):
        directory.mkdir(parents=True, exist_ok=True)
        return directory.resolve()


@contextmanager
def writing_to(place: Path, problem: str, hint: str) -> Iterator[None]:
    """A full disk or a missing permission in the block becomes a StoreError of this place."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{place}: {problem}: {error.strerror or error}", hint=hint) from error
