"""Which servers `bench serve` keeps up now: a small file for each, so that `bench query` needs no address."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.core.cache import cache_root
from bench.core.files import write_atomic

from .address import Address


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedNow:
    """A model that is being served, and where."""

    model: str
    addresses: tuple[Address, ...]


@contextmanager
def announced(model: str, addresses: Sequence[Address]) -> Iterator[str]:
    """Let `bench query` know while the block lasts; gives why it cannot, empty when it can."""
    path = _directory() / f"{os.getpid()}.json"
    body = {"model": model, "addresses": [asdict(address) for address in addresses]}
    problem = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(body).encode())
    except OSError as error:  # a convenience: the server is as good without it
        problem = f"{path} cannot be written: {error.strerror or error}"
    try:
        yield problem
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def served_now() -> tuple[ServedNow, ...]:
    """What living processes have announced; files of dead ones are removed."""
    found = []
    for path in sorted(_directory().glob("*.json")):
        if not _lives(path):
            with suppress(OSError):
                path.unlink(missing_ok=True)
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):  # it is leaving just now
            told = json.loads(path.read_bytes())
            addresses = tuple(Address(**address) for address in told["addresses"])
            found.append(ServedNow(model=told["model"], addresses=addresses))
    return tuple(found)


def _lives(path: Path) -> bool:
    try:
        os.kill(int(path.stem), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    return True


def _directory() -> Path:
    return cache_root() / "serving"
