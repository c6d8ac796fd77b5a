"""The files of all artifacts, each set under the hash of its content; and the locks that keep two writers apart."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import StepFailed, StoreError
from bench.core.files import fsync_directory, sha256_tree, write_atomic
from bench.core.record import SCHEMA_VERSION
from bench.records.codec import Migrations, decode, encode

from .plain_files import StoredFile, inventory, seal

#: Version 1 is the first, for manifests and for what `keys/` holds.
MIGRATIONS: Migrations = {}

_ID = re.compile(r"[0-9a-f]{64}")
_CONTENT = "content"
_MANIFEST = "manifest.json"
_POLL_S = 0.1
_OWNER_CHARS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manifest:
    files: tuple[StoredFile, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A temporary directory of one build: `out_dir` becomes the content, `path` is for whatever else is written."""

    path: Path

    @property
    def item(self) -> Path:
        """What moves to its place as one piece: the content and its manifest."""
        return self.path / "item"

    @property
    def out_dir(self) -> Path:
        """Where the build writes."""
        return self.item / _CONTENT


class Contents:
    """cas/, tmp/, locks/ and quarantine/ below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with disk_errors(root):
            for name in ("cas", "tmp", "locks", "quarantine"):
                (root / name).mkdir(parents=True, exist_ok=True)
            self._sweep()

    def path(self, content_id: str) -> Path:
        """The directory with the files of a content."""
        return self.root / "cas" / content_id / _CONTENT

    def id_of(self, path: Path) -> str:
        """Which content a path lies in; empty when it lies in none."""
        if not path.is_relative_to(self.root / "cas"):
            return ""
        parts = path.relative_to(self.root / "cas").parts
        return parts[0] if len(parts) >= 2 and parts[1] == _CONTENT else ""

    def keep(self, workspace: Workspace, notes: list[str]) -> str:
        """Move a finished item to its place, durably, and return its id; the same content is kept once.

        StepFailed when there is nothing in it, or something that is not a plain file.
        """
        try:
            files = inventory(workspace.out_dir)
        except ValueError as error:
            raise StepFailed(f"the build left something that cannot be kept: {error}") from error
        if not files:
            raise StepFailed("the build wrote no file")
        with disk_errors(self.root):
            seal(workspace.out_dir)
            content_id = sha256_tree(workspace.out_dir)
            write_atomic(workspace.item / _MANIFEST, encode(_Manifest(files=files), place=_MANIFEST))
            self._move_into_place(workspace.item, content_id, notes)
        return content_id

    def problem(self, content_id: str) -> str:
        """What is wrong with a content, found by hashing it; empty when it is what its name says."""
        if not _ID.fullmatch(content_id):
            return f"{content_id!r} is not the name of a content"
        content = self.path(content_id)
        if not content.is_dir():
            return "its content is missing"
        try:
            if sha256_tree(content) == content_id:
                return ""
            path = content.parent / _MANIFEST
            manifest = decode(path.read_bytes(), _Manifest, place=str(path), migrations=MIGRATIONS)
            differing = {file.name for file in set(manifest.files) ^ set(inventory(content))}
        except (OSError, ValueError, StoreError) as error:
            return f"its content cannot be checked: {error}"
        return f"its content does not match its hash: {', '.join(sorted(differing)) or _MANIFEST}"

    def set_aside_if_damaged(self, content_id: str, notes: list[str]) -> str:
        """Quarantine a damaged content; returns its problem."""
        if not _ID.fullmatch(content_id):
            return self.problem(content_id)
        with self.locked(f"content-{content_id}", notes):
            problem = self.problem(content_id)
            if problem and self.path(content_id).parent.exists():
                self.quarantine(self.path(content_id).parent, problem, notes)
        return problem

    def quarantine(self, path: Path, problem: str, notes: list[str]) -> None:
        """Move a damaged file or directory out of use, and note it."""
        aside = self.root / "quarantine" / f"{path.name}-{secrets.token_hex(4)}"
        with disk_errors(self.root):
            os.rename(path, aside)
        notes.append(f"{path} is damaged ({problem}): moved to {aside}")

    @contextmanager
    def locked(self, key: str, notes: list[str], give_up: Callable[[], bool] | None = None) -> Iterator[None]:
        """Hold the lock of a key; waits for another holder until `give_up` says so, which is a StoreError."""
        import filelock  # 40 ms, and planning does not need it

        lock = filelock.FileLock(self.root / "locks" / f"{key}.lock")
        with disk_errors(self.root):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                started_s = time.monotonic()
                try:
                    lock.acquire(timeout=-1, poll_interval=_POLL_S, cancel_check=give_up)
                except filelock.Timeout:
                    raise StoreError(f"stopped waiting for another run that builds {key}") from None
                notes.append(f"waited {time.monotonic() - started_s:.1f} s for another run that built the same")
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def workspace(self, key: str) -> Iterator[Workspace]:
        """An empty workspace, removed at the end; only for the holder of the key's lock.

        Its name is new each time: what a dead owner's child may still write is never ours.
        """
        workspace = Workspace(path=self.root / "tmp" / f"{secrets.token_hex(_OWNER_CHARS // 2)}-{key}")
        with disk_errors(self.root):
            workspace.out_dir.mkdir(parents=True)
        try:
            yield workspace
        finally:
            shutil.rmtree(workspace.path, ignore_errors=True)

    def _move_into_place(self, item: Path, content_id: str, notes: list[str]) -> None:
        problem = self.set_aside_if_damaged(content_id, notes)
        if not problem:
            return
        try:
            os.rename(item, self.path(content_id).parent)
        except OSError as error:
            # Another key's build made the same content meanwhile.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or self.problem(content_id):
                raise
        fsync_directory(self.root / "cas")

    def _sweep(self) -> None:
        """Remove workspaces whose owner is dead, which its lock tells, never a file's age."""
        import filelock

        for leftover in (self.root / "tmp").iterdir():
            key = leftover.name[_OWNER_CHARS + 1 :]
            lock = filelock.FileLock(self.root / "locks" / f"{key}.lock")
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                continue
            try:
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                lock.release()


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the operating system says about our own files into a StoreError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cause = f"disk full ({error.strerror})" if full else str(error)
        raise StoreError(
            f"{place}: {cause}", hint="make room, or set DEPLOYBENCH_CACHE to a directory on another disk"
        ) from error
