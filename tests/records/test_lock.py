"""One writer at a time, readers never wait, and a dead owner holds nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.core.errors import StoreError
from bench.records import exclusive_writer, open_run
from tests.examples.records import write_run


@contextmanager
def held_by_another_process(directory: Path, *, then: Callable[[], object] = lambda: None) -> Iterator[int]:
    """A forked process that holds the lock, calls `then` and sleeps; killed at the end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with exclusive_writer(directory, "20261120-153012-first-0a1b"):
                then()
                os.write(writing, b".")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"."
        yield pid
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path) as pid:
        expected = rf"run 20261120-153012-first-0a1b \(pid {pid} on .+, since \d{{4}}-.+\) holds the lock"
        with pytest.raises(StoreError, match=expected) as refused, exclusive_writer(tmp_path, "second"):
            pass
    assert refused.value.exit_code == 6


def test_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path):
        pass
    with exclusive_writer(tmp_path, "next"):
        assert b'"name":"next"' in (tmp_path / ".lock-holder.json").read_bytes()


def test_a_child_that_outlives_its_killed_owner_holds_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    child_is_up, say_so = os.pipe()

    def leave_a_child() -> None:
        if os.fork() == 0:
            os.write(say_so, b".")
            os.close(writing)
            os.read(reading, 1)  # until the test closes the last other end
            os._exit(0)
        os.read(child_is_up, 1)

    try:
        with held_by_another_process(tmp_path, then=leave_a_child):
            pass
        with exclusive_writer(tmp_path, "next"):
            pass
    finally:
        for descriptor in (reading, writing, child_is_up, say_so):
            os.close(descriptor)


def test_a_reader_does_not_wait(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    with held_by_another_process(run.path):
        assert open_run(run.path).records() == run.records()


def test_the_lock_is_given_back_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with exclusive_writer(tmp_path, "one"):
        pass
    with pytest.raises(RuntimeError, match="of the body"), exclusive_writer(tmp_path, "two"):
        raise RuntimeError("of the body")
    with exclusive_writer(tmp_path, "three"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_holder_that_did_not_write_its_name_yet_is_another_run(tmp_path: Path) -> None:
    with held_by_another_process(tmp_path):
        (tmp_path / ".lock-holder.json").write_bytes(b"{")
        with pytest.raises(StoreError, match="another run holds the lock"), exclusive_writer(tmp_path, "second"):
            pass


def test_a_place_that_cannot_hold_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file: cannot be locked"), exclusive_writer(tmp_path / "file", "run"):
        pass
