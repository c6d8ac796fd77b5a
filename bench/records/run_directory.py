"""A run on disk: `results/runs/<run-id>/` with a manifest frozen at the start, a journal, samples, jobs and logs."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.core.canonical import digest, slug
from bench.core.credentials import mask_credentials
from bench.core.errors import StoreError
from bench.core.files import fsync_directory, write_atomic
from bench.core.record import SCHEMA_VERSION, Record

from . import journal
from .codec import MAX_FILE_BYTES, Migrations, NewerSchema, decode, encode

#: Version 1 is the first.
MIGRATIONS: Migrations = {}

_RUNS = "runs"
_MANIFEST = "run.json"
_JOURNAL = "journal.jsonl"
_SUBDIRECTORIES = ("samples", "jobs", "logs", "inputs", "outputs")
_ID_HEX_CHARS = 4
_ATTEMPTS = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunManifest:
    """What was going to be measured, where and with what, frozen before the first cell.

    `matrix_digest` identifies what is asked for and is what `latest` compares; `matrix_sha256` is of the text.
    """

    run_id: str
    name: str
    created_at: str  # ISO 8601, a label
    command: tuple[str, ...]
    matrix_text: str
    matrix_sha256: str
    matrix_digest: str
    resolved_matrix: dict[str, Any]
    environment: dict[str, Any]
    environment_id: str
    planned_cell_ids: tuple[str, ...]  # in the order in which they are measured
    versions: tuple[tuple[str, str], ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDirectory:
    """A run's directory and its manifest; what the journal says is read anew at each question."""

    path: Path
    manifest: RunManifest

    @property
    def journal_path(self) -> Path:
        """The append-only journal."""
        return self.path / _JOURNAL

    @property
    def jobs_dir(self) -> Path:
        """Job files of the children: each repeats its work by hand."""
        return self.path / "jobs"

    @property
    def logs_dir(self) -> Path:
        """What the children wrote to stdout and stderr, capped."""
        return self.path / "logs"

    @property
    def report_path(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def records(self) -> tuple[tuple[Record, ...], tuple[journal.Damage, ...]]:
        """The last record of each cell, in the order of the plan, and what of the journal is damaged."""
        records, damages = journal.read(self.journal_path)
        last = {record.cell_id: record for record in records}
        order = {cell_id: place for place, cell_id in enumerate(self.manifest.planned_cell_ids)}
        return tuple(sorted(last.values(), key=lambda record: order.get(record.cell_id, len(order)))), damages

    def missing_cells(self) -> tuple[str, ...]:
        """Planned cells without a final record, in the order of the plan."""
        records, _ = self.records()
        done = {record.cell_id for record in records if is_terminal(record)}
        return tuple(cell_id for cell_id in self.manifest.planned_cell_ids if cell_id not in done)

    def is_complete(self) -> bool:
        """Whether every planned cell has a final record."""
        return not self.missing_cells()

    def remove_leftovers(self) -> None:
        """Remove temporary files of a writer that was killed; only for the holder of the lock."""
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def is_terminal(record: Record) -> bool:
    """Whether a cell needs no other attempt: every status but `cancelled` is an answer, a failure too."""
    return record.outcome.status != "cancelled"


def create(  # noqa: PLR0913 - all of them are frozen together
    results_dir: Path,
    *,
    name: str,
    command: Sequence[str],
    matrix_text: str,
    resolved_matrix: Mapping[str, Any],
    environment: Mapping[str, Any],
    environment_id: str,
    planned_cell_ids: Sequence[str],
    versions: Sequence[tuple[str, str]],
    matrix_digest: str = "",
    now: datetime | None = None,
) -> RunDirectory:
    """Make a new run directory, durable when this returns; StoreError when `results_dir` cannot be written.

    `resolved_matrix` and `environment` hold plain JSON values. `matrix_digest` is what `latest` will be asked for; by
    default it is the digest of `resolved_matrix`. Credentials of URLs in `command` and `matrix_text` are masked. The
    manifest is written last: a directory without one was never a run.
    """
    created = (now or datetime.now(UTC)).astimezone(UTC)
    matrix_text = mask_credentials(matrix_text)
    try:
        path = _new_directory(results_dir / _RUNS, name, created)
        manifest = RunManifest(
            run_id=path.name,
            name=name,
            created_at=created.isoformat(timespec="seconds"),
            command=tuple(_storable(word) for word in command),
            matrix_text=matrix_text,
            matrix_sha256=_sha256(matrix_text),
            matrix_digest=matrix_digest or digest(resolved_matrix),
            resolved_matrix=dict(resolved_matrix),
            environment=dict(environment),
            environment_id=environment_id,
            planned_cell_ids=tuple(planned_cell_ids),
            versions=tuple(versions),
        )
        _fill(path, manifest)
    except OSError as error:
        raise StoreError(
            f"{results_dir}: a run cannot be created there: {error.strerror}", hint="choose a directory with --results"
        ) from error
    return open_run(path)


def open_run(path: Path) -> RunDirectory:
    """The run in `path`; StoreError when it is none, is damaged, or was written by a newer version."""
    manifest_path = path / _MANIFEST
    manifest = decode(
        _read_bounded(manifest_path),
        RunManifest,
        place=str(manifest_path),
        migrations=MIGRATIONS,
        max_bytes=MAX_FILE_BYTES,
    )
    if manifest.matrix_sha256 != _sha256(manifest.matrix_text):
        raise StoreError(f"{manifest_path}: the matrix is not the one whose sha256 stands beside it")
    return RunDirectory(path=path, manifest=manifest)


def run_paths(results_dir: Path) -> tuple[Path, ...]:
    """The runs below `results_dir`, oldest first by their identifiers."""
    return tuple(sorted(path.parent for path in (results_dir / _RUNS).glob(f"*/{_MANIFEST}")))


def results_dir_of(run_dir: Path) -> Path | None:
    """The results directory that a run lies in; None for one that was copied elsewhere."""
    path = run_dir.absolute()
    return path.parents[1] if path.parent.name == _RUNS else None


def latest(results_dir: Path, matrix_digest: str, environment_id: str) -> RunDirectory | None:
    """The newest run of this matrix in this environment if it is unfinished, so that resuming is the default.

    None when that run is complete or there is none. A run that cannot be read is logged and passed over.
    """
    for path in reversed(run_paths(results_dir)):
        try:
            run = open_run(path)
        except StoreError as error:
            reason = "newer" if isinstance(error, NewerSchema) else "damaged"
            _log.warning("not resumed, %s: %s", reason, error.message)
            continue
        if (run.manifest.matrix_digest, run.manifest.environment_id) == (matrix_digest, environment_id):
            return None if run.is_complete() else run
    return None


def _new_directory(runs: Path, name: str, created: datetime) -> Path:
    runs.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        suffix = secrets.token_hex(_ID_HEX_CHARS // 2)
        path = runs / f"{created:%Y%m%d-%H%M%S}-{slug(name)}-{suffix}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise StoreError(f"{runs}: no free name for a run called {name!r} after {_ATTEMPTS} attempts")


def _fill(path: Path, manifest: RunManifest) -> None:
    try:
        for subdirectory in _SUBDIRECTORIES:
            (path / subdirectory).mkdir()
        journal.Journal(path / _JOURNAL).close()
        write_atomic(path / _MANIFEST, encode(manifest, place=_MANIFEST))
        fsync_directory(path.parent)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _storable(word: str) -> str:
    """A word of a command line, which may hold any bytes, without credentials and as valid Unicode."""
    return mask_credentials(os.fsencode(word).decode(errors="backslashreplace"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_bounded(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is it the directory of a run?") from error
