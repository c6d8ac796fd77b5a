"""A run is frozen at its start, found again when it is unfinished, and never half created."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.canonical import digest
from bench.core.errors import StoreError
from bench.core.record import Record
from bench.core.requests import Requests
from bench.core.results import Status
from bench.records import (
    Journal,
    create,
    is_terminal,
    latest,
    open_run,
    read_samples,
    run_directory,
    run_paths,
    stored_requests,
)
from tests.examples.faults import before_operation, die_before_each_operation, fail_with
from tests.examples.records import create_run, make_blocks, make_record, make_records, write_run
from tests.examples.requests import make_requests

V1 = Path(__file__).parents[1] / "data" / "records" / "v1"
RESOLVED = {"name": "example", "models": ["digits", "minilm"], "measurement": {"rounds": 5, "budget_s": None}}
ENVIRONMENT_ID = "e1f2a3b4c5d6"


def create_named(results_dir: Path, name: str = "night", now: datetime | None = None, **changes: Any) -> Path:
    arguments: dict[str, Any] = {
        "command": ("bench", "run"),
        "matrix_text": "",
        "resolved_matrix": RESOLVED,
        "environment": {},
        "environment_id": ENVIRONMENT_ID,
        "planned_cell_ids": ("a", "b"),
        "versions": (),
    }
    return create(results_dir, name=name, now=now, **arguments | changes).path


def test_the_manifest_comes_back_as_it_was_frozen(tmp_path: Path) -> None:
    run = create_run(tmp_path)
    assert open_run(run.path) == run
    manifest = run.manifest
    assert manifest.command == ("bench", "run", "matrices/example.yaml")
    assert manifest.resolved_matrix == RESOLVED
    assert manifest.matrix_digest == digest(RESOLVED)
    assert manifest.environment["cpu"] == {"model": "example", "cores": 2}
    assert manifest.versions == (("deploybench", "0.1.0"), ("numpy", "2.4.6"))
    names = {path.name for path in run.path.iterdir()}
    assert names >= {"run.json", "journal.jsonl", "samples", "jobs", "logs"}


def test_run_ids_sort_by_time_in_utc(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, 16, 30, 12, tzinfo=timezone(timedelta(hours=1)))
    later = create_named(tmp_path, now=now + timedelta(seconds=1))
    earlier = create_named(tmp_path, now=now)
    assert re.fullmatch(r"20261120-153012-night-[0-9a-f]{4}", earlier.name)
    assert run_paths(tmp_path) == (earlier, later)
    assert open_run(earlier).manifest.created_at == "2026-11-20T15:30:12+00:00"


def test_runs_of_one_second_get_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("bench.records.run_directory.secrets.token_hex", lambda count: next(suffixes))
    monkeypatch.setattr(run_directory, "write_atomic", lambda path, content: path.write_bytes(content))
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert [create_named(tmp_path, now=now).name[-4:] for _ in range(2)] == ["aaaa", "bbbb"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=400))
def test_any_name_gives_a_directory_directly_below_runs(tmp_path: Path, name: str) -> None:
    path = create_named(tmp_path, name)
    assert path.parent == tmp_path / "runs"
    assert len(path.name) < 120
    assert open_run(path).manifest.name == name
    shutil.rmtree(path)


@pytest.mark.parametrize("name", ["with space", "quote'\"s", "$HOME `id`", "ünïcode-模型", "-rf", "n" * 255, "a\nb"])
def test_any_place_can_hold_results(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / name, make_records()[:2])
    records, damages = open_run(run.path).records()
    assert (len(records), damages) == (2, ())
    assert records[0].samples is not None
    assert read_samples(run.path, records[0].samples) == make_blocks(seed=0)


class TestCells:
    def test_every_status_but_cancelled_is_an_answer(self) -> None:
        statuses: dict[Status, bool] = {record.outcome.status: is_terminal(record) for record in make_records()}
        assert len(statuses) == 9
        assert [status for status, terminal in statuses.items() if not terminal] == ["cancelled"]

    def test_missing_cells_are_in_the_order_of_the_plan(self, tmp_path: Path) -> None:
        records = make_records()
        run = create_run(tmp_path)
        planned = run.manifest.planned_cell_ids
        assert run.missing_cells() == planned
        with Journal(run.journal_path) as journal:
            for record in reversed(records[2:-1]):
                journal.append(record)
        cancelled = next(record.cell_id for record in records if record.outcome.status == "cancelled")
        assert run.missing_cells() == (planned[0], planned[1], cancelled, planned[-1])
        assert [record.cell_id for record in run.records()[0]] == list(planned[2:-1])

    def test_the_last_record_of_a_cell_counts(self, tmp_path: Path) -> None:
        ok = make_record()
        cancelled = make_record(status="cancelled")
        run = create_run(tmp_path, [ok])
        with Journal(run.journal_path) as journal:
            journal.append(cancelled)
            assert not run.is_complete()
            journal.append(ok)
        assert run.is_complete()
        assert run.records()[0] == (ok,)

    def test_a_damaged_record_is_measured_again(self, tmp_path: Path) -> None:
        run = write_run(tmp_path, make_records()[:3])
        content = run.journal_path.read_bytes()
        run.journal_path.write_bytes(content.replace(b'"status":"ok"', b'"status":"OK"', 1))
        assert run.missing_cells() == run.manifest.planned_cell_ids[:1]
        assert len(run.records()[1]) == 1


class TestLatest:
    def find(self, results_dir: Path, environment_id: str = ENVIRONMENT_ID) -> Path | None:
        run = latest(results_dir, digest(RESOLVED), environment_id)
        return run.path if run else None

    def test_an_unfinished_run_of_the_same_matrix_is_resumed(self, tmp_path: Path) -> None:
        run = create_named(tmp_path)
        assert self.find(tmp_path) == run

    def test_without_any_run_there_is_nothing_to_resume(self, tmp_path: Path) -> None:
        assert self.find(tmp_path / "absent") is None

    def test_a_complete_run_is_not_resumed_nor_one_before_it(self, tmp_path: Path) -> None:
        now = datetime(2026, 11, 20, tzinfo=UTC)
        create_named(tmp_path, now=now)
        create_named(tmp_path, now=now + timedelta(seconds=1), planned_cell_ids=())
        assert self.find(tmp_path) is None

    def test_the_digest_may_be_chosen(self, tmp_path: Path) -> None:
        run = create_named(tmp_path, matrix_digest="chosen")
        assert self.find(tmp_path) is None
        found = latest(tmp_path, "chosen", ENVIRONMENT_ID)
        assert found is not None
        assert found.path == run

    def test_another_matrix_or_environment_is_not_resumed(self, tmp_path: Path) -> None:
        create_named(tmp_path, resolved_matrix=RESOLVED | {"name": "other"})
        assert self.find(tmp_path) is None
        create_named(tmp_path)
        assert self.find(tmp_path, "another environment") is None

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "damaged"), (b'{"schema_version":7}', "newer"), (b"[" * 100_000, "damaged"), (b"{}", "damaged")],
    )
    def test_a_run_that_cannot_be_read_is_named_and_passed_over(
        self, tmp_path: Path, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = datetime(2026, 11, 20, tzinfo=UTC)
        run = create_named(tmp_path, now=now)
        unreadable = create_named(tmp_path, now=now + timedelta(seconds=1))
        (unreadable / "run.json").write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert self.find(tmp_path) == run
        assert f"not resumed, {reason}: {unreadable}" in caplog.text


class TestFaults:
    def test_a_results_directory_that_cannot_be_written_is_said_before_the_first_cell(self) -> None:
        with pytest.raises(StoreError, match="a run cannot be created there") as refused:
            create_named(Path("/proc/nohome"))
        assert refused.value.hint is not None

    def test_a_failed_creation_leaves_nothing_that_looks_like_a_run(self, tmp_path: Path) -> None:
        for number in range(100):
            with before_operation(number, fail_with(errno.ENOSPC)) as begun:
                try:
                    create_named(tmp_path)
                    failed = False
                except StoreError:
                    failed = True
            if begun() <= number:
                break
            assert failed, number
            # Behind the manifest's rename the run exists, and only its last fsync or the reading back can fail.
            assert all(open_run(path) for path in run_paths(tmp_path))
            assert len(run_paths(tmp_path)) == len(list((tmp_path / "runs").glob("*")))
            assert not list(tmp_path.rglob(".*.tmp"))
        assert number > 10

    def test_a_creator_killed_at_any_moment_leaves_a_whole_run_or_none(self, tmp_path: Path) -> None:
        deaths = 0
        for _ in die_before_each_operation(lambda: create_named(tmp_path)):
            deaths += 1
            for path in run_paths(tmp_path):
                assert open_run(path).missing_cells() == ("a", "b")
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        assert deaths > 10

    def test_what_a_killed_writer_left_is_removed_by_the_next(self, tmp_path: Path) -> None:
        run = create_run(tmp_path)
        (run.path / "samples" / ".0123.tmp").write_bytes(b"half")
        (run.path / ".4567.tmp").write_bytes(b"half")
        before = sorted(run.path.rglob("*"))
        run.remove_leftovers()
        assert set(before) - set(run.path.rglob("*")) == {run.path / "samples" / ".0123.tmp", run.path / ".4567.tmp"}

    def test_a_number_that_is_not_finite_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"environment\.load\[1\] is nan"):
            create_named(tmp_path, environment={"load": [1.0, float("nan")]})
        assert run_paths(tmp_path) == ()

    def test_a_matrix_changed_inside_a_finished_run_is_noticed(self, tmp_path: Path) -> None:
        path = create_named(tmp_path, matrix_text="rounds: 5")
        manifest = path / "run.json"
        manifest.write_bytes(manifest.read_bytes().replace(b"rounds: 5", b"rounds: 9"))
        with pytest.raises(StoreError, match="not the one whose sha256"):
            open_run(path)

    def test_a_matrix_edited_during_the_run_changes_nothing(self, tmp_path: Path) -> None:
        resolved = json.loads(json.dumps(RESOLVED))
        run = create(
            tmp_path,
            name="frozen",
            command=(),
            matrix_text="",
            resolved_matrix=resolved,
            environment={},
            environment_id="",
            planned_cell_ids=(),
            versions=(),
        )
        resolved["measurement"]["rounds"] = 99
        assert run.manifest.resolved_matrix == RESOLVED == open_run(run.path).manifest.resolved_matrix

    def test_a_directory_that_is_no_run_is_said_to_be_none(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be read") as refused:
            open_run(tmp_path)
        assert refused.value.hint == "is it the directory of a run?"

    def test_a_manifest_of_any_size_is_not_read_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = create_named(tmp_path)
        monkeypatch.setattr(run_directory, "MAX_FILE_BYTES", 100)
        os.truncate(path / "run.json", 1 << 40)  # sparse: it takes no room
        with pytest.raises(StoreError, match="too large: 101 bytes, at most 100"):
            open_run(path)


class TestVersion1:
    """The files of each schema version are kept for ever; see tests/data/records/README.md."""

    def test_a_run_of_version_1_is_read_whole(self) -> None:
        (path,) = run_paths(V1)
        run = open_run(path)
        records, damages = run.records()
        assert damages == ()
        assert len(records) == len(run.manifest.planned_cell_ids) == 22
        assert {record.outcome.status for record in records} == {record.outcome.status for record in make_records()}
        for place, record in enumerate(records):
            if record.samples is not None:
                assert read_samples(path, record.samples) == make_blocks(seed=place)
            if record.served is not None:
                requests, expected = stored_requests(path, record.served.samples_path), make_requests()
                for column in fields(Requests):
                    assert (getattr(requests, column.name) == getattr(expected, column.name)).all()

    def test_a_changed_record_needs_a_new_version(self) -> None:
        """After a release: a new SCHEMA_VERSION, a migration, and files of it. Before: write the files again."""
        (path,) = run_paths(V1)
        for line in (path / "journal.jsonl").read_bytes().splitlines():
            kept = msgspec.json.decode(line[9:])["record"]
            written_now = msgspec.json.encode(msgspec.convert(kept, Record))
            assert msgspec.json.decode(written_now) == kept, "see tests/data/records/README.md"
        kept = msgspec.json.decode((path / "run.json").read_bytes())
        assert msgspec.json.decode(msgspec.json.encode(open_run(path).manifest)) == kept
