"""The journal loses nothing that it acknowledged, and never takes damage for data."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.errors import StoreError
from bench.core.record import Record
from bench.core.results import Estimate, Outcome
from bench.records import Damage, Journal, codec, journal, read
from tests.examples.faults import before_operation, fail_with
from tests.examples.records import make_cell, make_record, make_records, make_statistics


def small_records(count: int) -> list[Record]:
    return [make_record(make_cell(batch=batch + 1), status="skipped") for batch in range(count)]


def write(path: Path, records: list[Record]) -> Path:
    with Journal(path) as writer:
        for record in records:
            writer.append(record)
    return path


def write_raw(path: Path, *bodies: bytes) -> Path:
    path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(body), body) for body in bodies))
    return path


def line_starts(content: bytes) -> list[int]:
    return [0] + [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_every_kind_of_record_comes_back_as_it_was(path: Path) -> None:
    records = list(make_records())
    assert read(write(path, records)) == (tuple(records), ())


def test_a_record_is_one_write_and_one_fsync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def spy(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    with Journal(path) as writer:
        spy("write")
        spy("fsync")
        writer.append(make_record())
    assert calls == ["write", "fsync"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(), tail=st.text(), value=st.floats(allow_nan=False, allow_infinity=False), number=st.integers(0))
def test_any_text_and_number_comes_back_as_it_was(
    path: Path, without_fsync: None, name: str, tail: str, value: float, number: int
) -> None:
    path.unlink(missing_ok=True)
    cell = make_cell(name)
    record = replace(
        make_record(cell),
        outcome=Outcome(status="ok", log_tail=tail),
        statistics=replace(make_statistics(), min_ms=value, calls=number % 2**63),
    )
    assert read(write(path, [record])) == ((record,), ())


class TestDamage:
    def test_a_torn_last_line_is_dropped_and_named(self, path: Path) -> None:
        records = small_records(3)
        content = write(path, records).read_bytes()
        path.write_bytes(content[:-20])
        usable, damages = read(path)
        assert usable == tuple(records[:2])
        assert [str(damage) for damage in damages] == [f"{path}:3: torn: the last line has no end, dropped"]

    def test_truncated_at_any_byte_it_is_a_clean_prefix(self, path: Path) -> None:
        records = small_records(2)
        content = write(path, records).read_bytes()
        starts = line_starts(content)
        for length in range(len(content)):
            path.write_bytes(content[:length])
            usable, damages = read(path)
            whole = sum(start - 1 <= length for start in starts[1:])  # a line that lacks its newline only is whole
            torn = length not in starts and length + 1 not in starts
            assert usable == tuple(records[:whole]), length
            assert [damage.line for damage in damages] == ([whole + 1] if torn else []), length

    def test_truncated_at_any_byte_it_can_be_continued(self, path: Path, without_fsync: None) -> None:
        records = small_records(3)
        content = write(path, records).read_bytes()
        starts = line_starts(content)
        for length in range(starts[1] - 1, starts[2] + 1):
            path.write_bytes(content[:length])
            whole = sum(start - 1 <= length for start in starts[1:])
            write(path, records[whole:])
            assert read(path) == (tuple(records), ()), length

    def test_opening_says_what_it_cut_off(self, path: Path) -> None:
        content = write(path, small_records(2)).read_bytes()
        path.write_bytes(content[:-1] + b"!")
        with Journal(path) as writer:
            assert [damage.line for damage in writer.damages] == [2]
        assert path.read_bytes() == content[: line_starts(content)[1]]

    def test_a_flipped_bit_in_any_byte_drops_its_line_alone(self, path: Path) -> None:
        records = small_records(2)
        content = write(path, records).read_bytes()
        starts = line_starts(content)
        for place in range(len(content)):
            line = sum(start <= place for start in starts[:-1])
            # Bit 5 turns a digit a-f of the checksum into A-F, which means the same number.
            bit = 5 if place - starts[line - 1] < 8 else place % 8
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            lost = {line, line + 1} if content[place] == ord("\n") else {line}
            usable, damages = read(path)
            assert list(usable) == [record for n, record in enumerate(records, 1) if n not in lost], place
            assert damages[0].line == line, place

    def test_a_line_that_was_taken_out_is_noticed(self, path: Path) -> None:
        records = small_records(4)
        lines = write(path, records).read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + lines[3])
        usable, damages = read(path)
        assert usable == (records[0], records[3])
        assert damages == (
            Damage(path=str(path), line=2, reason="2 lines are missing before this one (seq 1 is followed by 4)"),
        )

    def test_a_line_that_stands_twice_is_noticed(self, path: Path) -> None:
        lines = write(path, small_records(2)).read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + lines[1] + lines[0])
        assert [(damage.line, "out of order" in damage.reason) for damage in read(path)[1]] == [(3, True)]

    def test_a_missing_journal_is_an_error(self, path: Path) -> None:
        with pytest.raises(StoreError, match=r"journal\.jsonl: cannot be read"):
            read(path)


class TestDisk:
    def test_a_full_disk_says_how_many_cells_are_safe_and_is_final(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records = small_records(4)
        real_write = os.write
        calls = 0

        def write_until_full(descriptor: int, content: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == 3:
                fail_with(errno.ENOSPC)()
            return real_write(descriptor, content)

        with Journal(path) as writer:
            monkeypatch.setattr(os, "write", write_until_full)
            writer.append(records[0])
            writer.append(records[1])
            with pytest.raises(StoreError, match=r"disk full \(No space left on device\), 2 cells safe") as full:
                writer.append(records[2])
            with pytest.raises(StoreError, match=r"an earlier write failed.*2 cells safe"):
                writer.append(records[3])
        assert calls == 3
        assert full.value.exit_code == 6
        assert full.value.hint is not None
        assert read(path) == (tuple(records[:2]), ())

    def test_a_short_write_is_a_full_disk(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        records = small_records(3)
        real_write = os.write
        with Journal(path) as writer:
            writer.append(records[0])
            monkeypatch.setattr(os, "write", lambda descriptor, content: real_write(descriptor, content[:114]))
            with pytest.raises(StoreError, match=r"disk full \(114 of \d+ bytes written\), 1 cell safe"):
                writer.append(records[1])
        usable, damages = read(path)
        assert usable == (records[0],)
        assert [damage.line for damage in damages] == [2]
        monkeypatch.undo()
        write(path, records[1:])
        assert read(path) == (tuple(records), ())

    def test_a_failed_fsync_is_never_tried_again(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = 0

        def broken_fsync(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            fail_with(errno.EIO)()

        with Journal(path) as writer:
            monkeypatch.setattr(os, "fsync", broken_fsync)
            with pytest.raises(StoreError, match=r"the disk failed \(Input/output error\), 0 cells safe"):
                writer.append(make_record())
            with pytest.raises(StoreError, match="an earlier write failed"):
                writer.append(make_record())
        assert calls == 1

    def test_a_real_limit_of_the_file_size_leaves_all_acknowledged_records(self, path: Path) -> None:
        script = """
            import resource, sys
            from pathlib import Path
            from bench.core.errors import StoreError
            from bench.records import Journal
            from tests.examples.records import make_record
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
            with Journal(Path(sys.argv[1])) as writer:
                try:
                    for number in range(100):
                        writer.append(make_record())
                except StoreError as error:
                    print(number, error.message)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(path)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        acknowledged, message = done.stdout.split(" ", 1)
        assert "disk full" in message
        assert f"{acknowledged} cells safe" in message
        usable, damages = read(path)
        assert len(usable) == int(acknowledged) > 0
        assert len(damages) == 1

    def test_any_operation_may_fail_and_the_journal_stays_readable(self, path: Path) -> None:
        records = small_records(2)

        def work() -> None:
            write(path, records)

        for number in range(100):
            path.unlink(missing_ok=True)
            with before_operation(number, fail_with(errno.EIO)) as begun:
                try:
                    work()
                    failed = False
                except StoreError:
                    failed = True
            if begun() <= number:
                assert not failed
                break
            usable = read(path)[0] if path.exists() else ()
            assert usable == tuple(records[: len(usable)])
        assert number > 5


def test_a_killed_writer_loses_no_acknowledged_record(path: Path) -> None:
    delays = random.Random(1)
    record = make_record(status="skipped")
    acknowledged = 0
    for _ in range(20):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                with Journal(path) as writer:
                    while True:
                        writer.append(record)
                        os.write(writing, b".")
            finally:
                os._exit(1)
        os.close(writing)
        time.sleep(delays.uniform(0.005, 0.05))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with open(reading, "rb") as stream:
            acknowledged += len(stream.read())
    usable, _ = read(path)
    assert acknowledged > 0
    # A record may be whole on the disk although the kill came before its acknowledgement.
    assert acknowledged <= len(usable) <= acknowledged + 20


def test_lines_of_three_writers_never_mix(path: Path, without_fsync: None) -> None:
    records = small_records(30)
    Journal(path).close()
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            try:
                write(path, records)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    usable, damages = read(path)
    assert len(usable) == 90
    assert all("out of order" in damage.reason or "missing" in damage.reason for damage in damages)


class TestJson:
    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_a_number_that_is_not_finite_is_refused_and_nothing_is_written(self, path: Path, number: float) -> None:
        record = replace(make_record(), statistics=replace(make_statistics(), p50_ms=Estimate(value=number)))
        with Journal(path) as writer:
            with pytest.raises(StoreError, match=rf"statistics\.p50_ms\.value is {number}") as refused:
                writer.append(record)
            assert record.cell_id in refused.value.message
            writer.append(make_record())
        assert read(path) == ((make_record(),), ())

    def test_text_that_is_not_unicode_is_refused_by_name_of_the_cell(self, path: Path) -> None:
        record = replace(make_record(), outcome=Outcome(status="failed", log_tail="\udcff"))
        with Journal(path) as writer, pytest.raises(StoreError, match="cannot be written as JSON"):
            writer.append(record)
        assert path.read_bytes() == b""

    @pytest.mark.parametrize("literal", [b"NaN", b"1e999", b"-Infinity", b"9" * 5000, b"1.5.5", b'"1.25"'])
    def test_a_literal_that_is_no_finite_number_is_refused_although_its_checksum_is_right(
        self, path: Path, literal: bytes
    ) -> None:
        line = write(path, [make_record()]).read_bytes()[9:-1]
        changed = line.replace(b'"min_ms":1.15', b'"min_ms":' + literal)
        assert changed != line
        usable, damages = read(write_raw(path, changed))
        assert usable == ()
        assert [damage.line for damage in damages] == [1]

    @pytest.mark.parametrize(
        "bomb",
        [b"[" * 200_000, b'{"a":' * 200_000, b'{"seq":1,"record":' + b"[" * 200_000 + b"]" * 200_000 + b"}"],
        ids=["lists", "objects", "closed lists"],
    )
    def test_a_deep_bomb_is_dropped_before_it_is_parsed(
        self, path: Path, bomb: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(msgspec.json, "decode", lambda *a, **k: pytest.fail("parsed"))
        usable, damages = read(write_raw(path, bomb))
        assert (usable, len(damages)) == ((), 1)
        assert "nested deeper than 64 levels" in damages[0].reason

    def test_a_large_bomb_is_dropped_without_being_held(self, path: Path) -> None:
        good = write(path, small_records(1)).read_bytes()
        path.write_bytes(b"%08x " % 0 + b"[]," * 5_000_000 + b"\n" + good)
        tracemalloc.start()
        usable, damages = read(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert usable == tuple(small_records(1))
        assert damages[0].reason == f"longer than {codec.MAX_LINE_BYTES} bytes, dropped"
        assert peak_bytes < 5 * codec.MAX_LINE_BYTES

    @pytest.mark.parametrize("text", ["[" * 300, "\\" * 301 + "[" * 300, '"' * 9 + "]{" * 100, '\\"[' * 100])
    def test_brackets_inside_text_are_not_depth(self, path: Path, text: str) -> None:
        record = make_record(make_cell(text))
        assert read(write(path, [record])) == ((record,), ())

    def test_brackets_inside_text_do_not_hide_depth(self) -> None:
        deep = b'["]",' * 100 + b"1" + b"]" * 100
        json.loads(deep)
        assert "deeper" in codec.bounds_problem(deep, max_bytes=10_000)

    def test_a_record_that_could_not_be_read_back_is_not_written(self, path: Path) -> None:
        record = replace(make_record(), outcome=Outcome(status="failed", log_tail="x" * codec.MAX_LINE_BYTES))
        with Journal(path) as writer, pytest.raises(StoreError, match="too large"):
            writer.append(record)
        assert path.read_bytes() == b""


class TestSchema:
    def test_a_newer_schema_is_never_guessed(self, path: Path) -> None:
        line = write(path, small_records(1)).read_bytes()[9:-1]
        write_raw(path, line.replace(b'"schema_version":1', b'"schema_version":7'))
        with pytest.raises(StoreError, match="written by schema 7, this is 1: upgrade"):
            read(path)

    def test_an_older_schema_is_migrated_in_memory(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content = write(path, small_records(1)).read_bytes()

        def to_version_2(plain: dict[str, Any]) -> dict[str, Any]:
            return plain | {"schema_version": 2, "environment_id": "from migration"}

        monkeypatch.setattr(codec, "SCHEMA_VERSION", 2)
        monkeypatch.setattr(journal, "MIGRATIONS", {1: to_version_2})
        expected = replace(small_records(1)[0], schema_version=2, environment_id="from migration")
        assert read(path) == ((expected,), ())
        assert path.read_bytes() == content

    def test_a_schema_that_never_was_is_dropped(self, path: Path) -> None:
        line = write(path, small_records(1)).read_bytes()[9:-1]
        write_raw(path, line.replace(b'"schema_version":1', b'"schema_version":0'))
        assert "schema 0 is unknown" in read(path)[1][0].reason


def test_ten_thousand_rows_stay_small(
    path: Path, without_fsync: None, record_property: Callable[[str, object], None]
) -> None:
    body = write(path, [make_record()]).read_bytes()[9:-1].removeprefix(b'{"seq":1,')
    write_raw(path, *(b'{"seq":%d,' % seq + body for seq in range(1, 10_001)))
    started_s = time.perf_counter()
    usable, damages = read(path)
    record_property("read_10000_rows_s", time.perf_counter() - started_s)
    assert (len(usable), damages) == (10_000, ())
    assert usable[0] == usable[-1] == make_record()
    assert path.stat().st_size < 10_000 * 6_000
