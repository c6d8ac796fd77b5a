"""Content-addressed store: each artifact is built once, kept under the hash of its content, checked on every use.

    cas/<sha256>/content/...      the files of a model, read-only
    cas/<sha256>/manifest.json    their names, sizes and hashes
    keys/<key>.json               what a build gave: format, signature, lineage, and which content
    tmp/<owner>-<key>/            a build that is under way; its owner holds locks/<key>.lock
    quarantine/                   what no longer matched its hash

Only successes are kept. Locks end with their owner, so what a killed owner left in tmp/ is known to be dead.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.artifact import Artifact, LineageStep
from bench.core.cache import cache_root
from bench.core.canonical import digest
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed, StoreError
from bench.core.files import fsync_directory, safe_join, sha256_tree, tree_size_bytes, write_atomic
from bench.core.record import SCHEMA_VERSION
from bench.formats.detect import split_callable
from bench.records.codec import decode, encode

from .contents import MIGRATIONS, Contents, Workspace, disk_errors
from .plain_files import copy_file, copy_members, copy_tree

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """An artifact that is in the store and intact; `fresh` when this call made it, `notes` are worth telling."""

    artifact: Artifact
    fresh: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredModel:
    """The store's own copy of a user's model; `sha256` is of the file that was named, or of the whole directory."""

    id: str
    path: Path
    size_bytes: int  # of all its files
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    artifact: Artifact  # its path is relative to the content
    schema_version: int = SCHEMA_VERSION


class Site:
    """Where an artifact is being built (see `Store.site`); `notes` are worth telling."""

    def __init__(
        self, *, store: Store, key: str, workspace: Workspace | None, found: Artifact | None, notes: list[str]
    ) -> None:
        self.found = found
        self.notes = notes
        self._store = store
        self._key = key
        self._workspace = workspace

    @property
    def out_dir(self) -> Path:
        """The empty directory in which the artifact is made."""
        return self._open_workspace().out_dir

    def keep(self, result: StepResult, *, lineage: Sequence[LineageStep] = ()) -> Artifact:
        """Take what was made; the last link of `lineage` gets the changes."""
        return self._store._keep(self._key, result, lineage, self._open_workspace(), self.notes)  # noqa: SLF001  one unit

    def _open_workspace(self) -> Workspace:
        if self._workspace is None:
            raise ValueError(f"the artifact of {self._key} was found: there is nothing to build")
        return self._workspace


def default_root() -> Path:
    """Where artifacts are kept: inside the user's cache directory (see `bench.core.cache.cache_root`)."""
    return cache_root() / "artifacts"


class Store:
    """The artifacts below `root`. Several processes may use one store at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._contents = Contents(self.root)
        with disk_errors(self.root):
            (self.root / "keys").mkdir(exist_ok=True)

    def build(
        self,
        key: str,
        make: Callable[[Path], StepResult],
        *,
        lineage: Sequence[LineageStep] = (),
        give_up: Callable[[], bool] | None = None,
    ) -> Built:
        """The artifact of `key`, made by `make(out_dir)` unless it is there and intact.

        `make` writes in the empty `out_dir` alone; when it has nothing to change it may answer with a path that is in
        the store already. The last link of `lineage` gets the changes and the duration from the build. When another
        process builds the same key this one waits, asking `give_up` several times a second. What `make` raises passes
        through and nothing is kept; StepFailed when its answer does not fit, StoreError when the disk refuses.
        """
        started_s = time.perf_counter()
        with self.site(key, give_up=give_up) as site:
            if site.found is not None:
                return Built(artifact=site.found, fresh=False, notes=tuple(site.notes))
            result = make(site.out_dir)
            if lineage:
                lineage = (*lineage[:-1], replace(lineage[-1], duration_s=time.perf_counter() - started_s))
            return Built(artifact=site.keep(result, lineage=lineage), fresh=True, notes=tuple(site.notes))

    @contextmanager
    def site(self, key: str, *, give_up: Callable[[], bool] | None = None) -> Iterator[Site]:
        """`build` in two halves, for a caller that does other things while the artifact is being made.

        Either `found` is the artifact, or its key is held until the block is left and `keep` takes what was made in
        `out_dir`; a block that is left without `keep` leaves nothing.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        found = self._find(key)
        if found is not None:
            yield Site(store=self, key=key, workspace=None, found=found, notes=[])
            return
        notes: list[str] = []
        with self._contents.locked(key, notes, give_up), self._contents.workspace(key) as workspace:
            found = self._find(key)
            if found is None:
                self._set_aside(key, notes)
            yield Site(store=self, key=key, workspace=workspace, found=found, notes=notes)

    def import_model(self, path: Path, members: Sequence[str] = ()) -> StoredModel:
        """Copy a user's model into the store; whatever happens to the original later, the copy is what was hashed.

        `path` is a file or a directory and may be a link. `members` are the other files that a file refers to,
        relative to its directory: an absolute path, `..` or a link among them is refused with RefusedError.
        """
        path = path.absolute()
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"{str(path)!a}: the path is not valid UTF-8", hint="rename it") from error
        if path.is_dir() and members:
            raise ValueError("a directory is imported whole: members are for files")
        notes: list[str] = []
        key = f"import-{digest(str(path))}"
        with self._contents.locked(key, notes), self._contents.workspace(key) as workspace, disk_errors(self.root):
            if path.is_dir():
                copy_tree(path.resolve(), workspace.out_dir / path.name)
            else:
                copy_file(path, workspace.out_dir / path.name, follow_link=True)
                copy_members(path.parent, members, workspace.out_dir)
            sha256 = sha256_tree(workspace.out_dir / path.name)
            content_id = self._contents.keep(workspace, notes)
            content = self._contents.path(content_id)
            size_bytes = tree_size_bytes(content)
        return StoredModel(
            id=content_id, path=content / path.name, size_bytes=size_bytes, sha256=sha256, notes=tuple(notes)
        )

    def _keep(
        self, key: str, result: StepResult, lineage: Sequence[LineageStep], workspace: Workspace, notes: list[str]
    ) -> Artifact:
        if lineage:
            lineage = (*lineage[:-1], replace(lineage[-1], changes=result.changes, notes=result.notes))
        with disk_errors(self.root):
            content_id, relative = self._accept(Path(os.path.abspath(result.path)), workspace, notes)
            content = self._contents.path(content_id)
            artifact = Artifact(
                id=content_id,
                format=result.format,
                path=relative,
                size_bytes=tree_size_bytes(content),
                inputs=result.inputs,
                outputs=result.outputs,
                lineage=tuple(lineage),
            )
            # Written inside the workspace first: a kill leaves nothing where nobody would sweep.
            entry_path = workspace.path / "entry.json"
            write_atomic(entry_path, encode(_Entry(artifact=artifact), place=f"artifact {key}"))
            os.replace(entry_path, self._entry_path(key))
            fsync_directory(self._entry_path(key).parent)
        return replace(artifact, path=str(content / relative))

    def _accept(self, path: Path, workspace: Workspace, notes: list[str]) -> tuple[str, str]:
        """The content a build answered with, and the model's path inside it."""
        if not _file_of(path).exists():
            raise StepFailed(f"the build says that it wrote {path}, which does not exist")
        if path.is_relative_to(workspace.out_dir):
            return self._contents.keep(workspace, notes), path.relative_to(workspace.out_dir).as_posix()
        content_id = self._contents.id_of(path)
        if not content_id:
            raise StepFailed(f"the build answered with {path}, which is not in the directory it was given")
        problem = self._contents.problem(content_id)
        if problem:
            raise StoreError(f"artifact {content_id}: {problem}", hint="run again: it is built anew")
        return content_id, path.relative_to(self._contents.path(content_id)).as_posix()

    def _find(self, key: str) -> Artifact | None:
        """The artifact of a key if it is there and intact; changes nothing."""
        path = self._entry_path(key)
        try:
            artifact = decode(path.read_bytes(), _Entry, place=str(path), migrations=MIGRATIONS).artifact
            if self._contents.problem(artifact.id):
                return None
            model = safe_join(self._contents.path(artifact.id), artifact.path)
        except (StoreError, OSError, ValueError):
            return None  # absent; or damaged, and then _set_aside says how
        return replace(artifact, path=str(model)) if _file_of(model).exists() else None

    def _set_aside(self, key: str, notes: list[str]) -> None:
        """Quarantine what keeps `_find` from giving what was once built."""
        path = self._entry_path(key)
        with disk_errors(self.root):
            if not path.exists():
                return
            try:
                artifact = decode(path.read_bytes(), _Entry, place=str(path), migrations=MIGRATIONS).artifact
            except StoreError as error:
                self._contents.quarantine(path, error.message, notes)
                return
            problem = self._contents.set_aside_if_damaged(artifact.id, notes)
            self._contents.quarantine(path, problem or f"its content has no {artifact.path}", notes)

    def _entry_path(self, key: str) -> Path:
        return self.root / "keys" / f"{key}.json"


def _file_of(path: Path) -> Path:
    """The file of a model's path: of `file.py:function` without the function."""
    callable_parts = split_callable(str(path))
    return callable_parts[0] if callable_parts else path
