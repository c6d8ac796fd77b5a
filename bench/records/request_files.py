"""Raw requests of served cells, kept beside the samples of cells in process and never rewritten."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.core.canonical import slug
from bench.core.errors import StoreError
from bench.core.files import safe_join, write_atomic
from bench.core.requests import Requests, read_requests

_NAME_HASH_CHARS = 8


def store_requests(run_dir: Path, cell_id: str, path: Path) -> str:
    """Keep what `bench.core.requests.write_requests` wrote durably below `run_dir`; returns the relative path.

    The name holds the content's hash: what a record of an earlier attempt names stays as it is.
    """
    content = path.read_bytes()
    relative = f"samples/{slug(cell_id)}.requests.{hashlib.sha256(content).hexdigest()[:_NAME_HASH_CHARS]}.npz"
    try:
        write_atomic(run_dir / relative, content)
    except OSError as error:
        raise StoreError(
            f"{run_dir / relative}: cannot be written: {error.strerror}", hint="make room, then run again"
        ) from error
    return relative


def stored_requests(run_dir: Path, relative: str) -> Requests:
    """The requests that `store_requests` kept; StoreError when they are missing or damaged."""
    try:
        path = safe_join(run_dir, relative)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:_NAME_HASH_CHARS] != path.name.split(".")[-2]:
            raise ValueError("its sha256 is not the one in its name")
        return read_requests(path)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{run_dir / relative}: requests cannot be read: {error}") from error
