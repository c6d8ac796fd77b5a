"""A file that is replaced is old or new at every moment, whatever fails or dies in between."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bench.core.files import write_atomic
from tests.examples.faults import before_operation, die_before_each_operation, fail_with

OLD, NEW = b"old" * 1000, b"new!" * 100_000


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failure_of_any_operation_keeps_the_old_file_or_has_the_new(tmp_path: Path, code: int) -> None:
    path = tmp_path / "file"
    for number in range(50):
        path.write_bytes(OLD)
        with before_operation(number, fail_with(code)) as begun:
            try:
                write_atomic(path, NEW)
                failed = False
            except OSError as error:
                failed = error.errno == code
        if begun() <= number:
            break
        assert failed
        assert path.read_bytes() in (OLD, NEW)
        assert [member.name for member in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == NEW
    assert number >= 4


def test_death_before_any_operation_keeps_the_old_file_or_has_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    seen = []
    for _ in die_before_each_operation(lambda: write_atomic(path, NEW)):
        seen.append(path.read_bytes())
        path.write_bytes(OLD)
    assert set(seen) == {OLD, NEW}
    assert path.read_bytes() == NEW


def test_a_write_that_fails_half_way_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with pytest.raises(TypeError):
        write_atomic(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == OLD
    assert [member.name for member in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["n" * 255, "with space", "ü", "'quote\""])
def test_any_name_works(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, NEW)
    assert (tmp_path / name).read_bytes() == NEW
