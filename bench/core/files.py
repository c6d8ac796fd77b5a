"""Durable file operations: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

_HASH_CHUNK_BYTES = 1 << 20


def fsync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: temp file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def safe_join(root: Path, relative: str) -> Path:
    """`root / relative`, refusing with ValueError anything that would leave `root`, links included."""
    if "\0" in relative:
        raise ValueError("path holds a NUL character")
    resolved = (root / relative).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"path {relative!r} leaves {root}")
    return resolved


def sha256_file(path: Path) -> str:
    """Hex sha256 of one file's bytes."""
    hasher = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_HASH_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex sha256 of a file, or of a directory's relative names and contents in sorted order; links are refused."""
    if path.is_symlink():
        raise ValueError(f"{path} is a link")
    if path.is_file():
        return sha256_file(path)
    hasher = hashlib.sha256()
    for member in sorted(path.rglob("*")):
        if member.is_symlink():
            raise ValueError(f"{member} is a link")
        if member.is_file():
            name = member.relative_to(path).as_posix()
            hasher.update(f"{len(name)}:{name}:{sha256_file(member)}\n".encode())
    return hasher.hexdigest()


def tree_size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(member.stat().st_size for member in path.rglob("*") if member.is_file())
