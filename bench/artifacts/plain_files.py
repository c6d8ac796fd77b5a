"""Files of a model as the store keeps them: plain files only, copied without links, listed, made durable."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.core.errors import RefusedError, StoreError, TargetError
from bench.core.files import fsync_directory, sha256_file

_COPY_BYTES = 1 << 24
#: File systems or kernels that cannot copy a range between these two files, and say so before the first byte.
_CANNOT_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """One file of a model; `name` is its path below the model's directory, with slashes."""

    name: str
    size_bytes: int
    sha256: str


def inventory(directory: Path) -> tuple[StoredFile, ...]:
    """All files below `directory`; ValueError for what cannot be kept: links, special files, names not in UTF-8."""
    return tuple(
        StoredFile(
            name=path.relative_to(directory).as_posix(), size_bytes=path.stat().st_size, sha256=sha256_file(path)
        )
        for path in _plain_files(directory)
    )


def seal(directory: Path) -> None:
    """Make everything below `directory` durable and its files read-only.

    Directories stay writable, so that their owner can delete the cache with a plain `rm -r`.
    """
    for path in _plain_files(directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for path in (directory, *directory.rglob("*")):
        if path.is_dir():
            fsync_directory(path)


def copy_members(root: Path, members: Sequence[str], target: Path) -> None:
    """Copy the files that a model refers to, named relative to `root`, to the same places below `target`.

    RefusedError for an absolute path, `..`, or a link on the way; a file that is there already is left as it is.
    """
    for member in members:
        relative = PurePosixPath(member)
        if not member or "\0" in member or relative.is_absolute() or ".." in relative.parts:
            raise RefusedError(f"the model refers to {member!r}, which is not a file beside it")
        # Equal only when nothing on the way is a link, whether it leads outside or not.
        if (root / relative).resolve() != root.resolve() / relative:
            raise RefusedError(f"{root / relative} is a link or lies behind one", hint="put a copy of the file there")
        if not (target / relative).exists():
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            copy_file(root / relative, target / relative)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a directory of plain files; RefusedError for a link or special file inside it."""
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                copy_tree(Path(entry.path), target / entry.name)
            else:
                copy_file(Path(entry.path), target / entry.name)


def copy_file(source: Path, target: Path, *, follow_link: bool = False) -> None:
    """Copy one plain file, sharing its blocks where the file system can; `target` must not exist.

    TargetError when it cannot be read, RefusedError when it is not a plain file, StoreError when it changes meanwhile.
    """
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW)
    try:
        reading = os.open(source, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{source} is a link", hint="put a copy of the file there") from error
        raise TargetError(f"{source}: cannot be read: {error.strerror}") from error
    try:
        before = os.fstat(reading)
        if not stat.S_ISREG(before.st_mode):
            raise RefusedError(f"{source} is not a plain file")
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            copied_bytes = _copy_content(reading, writing, before.st_size)
        finally:
            os.close(writing)
        after = os.fstat(reading)
    finally:
        os.close(reading)
    if (copied_bytes, before.st_mtime_ns, before.st_size) != (after.st_size, after.st_mtime_ns, after.st_size):
        raise StoreError(f"{source} changed while it was copied", hint="run again when nothing writes to it")


def _copy_content(reading: int, writing: int, size_bytes: int) -> int:
    """Copy at most `size_bytes`, so that a file that grows for ever ends; returns the bytes copied."""
    copied = 0
    by_kernel = True
    while copied < size_bytes:
        length = min(_COPY_BYTES, size_bytes - copied)
        try:
            count = os.copy_file_range(reading, writing, length) if by_kernel else _copy_chunk(reading, writing, length)
        except OSError as error:
            if not by_kernel or copied or error.errno not in _CANNOT_COPY_RANGE:
                raise
            by_kernel = False
            continue
        if count == 0:
            break
        copied += count
    return copied


def _copy_chunk(reading: int, writing: int, length: int) -> int:
    chunk = memoryview(os.read(reading, length))
    written = 0
    while written < len(chunk):
        written += os.write(writing, chunk[written:])
    return written


def _plain_files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{str(path)!a} is not valid UTF-8") from error
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            raise ValueError(f"{path} is a link or a special file")
