"""What `bench serve` keeps up is known to others as long as it lives, and no longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.query import Address, announced, served_now

ADDRESSES = (
    Address(host="127.0.0.1", port=8000, transport="http"),
    Address(host="127.0.0.1", port=8500, transport="grpc"),
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    return tmp_path / "serving"


def test_a_server_is_known_while_it_is_up(directory: Path) -> None:
    assert served_now() == ()
    with announced("m", ADDRESSES) as problem:
        (found,) = served_now()
        assert (problem, found.model, found.addresses) == ("", "m", ADDRESSES)
    assert served_now() == ()


def test_what_a_killed_server_left_is_removed(directory: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with announced("m", ADDRESSES):
        (file,) = directory.iterdir()
        left = directory / f"{ended.pid}.json"
        left.write_bytes(file.read_bytes())
        assert len(served_now()) == 1
        assert not left.exists()


def test_a_file_that_is_none_is_no_server(directory: Path) -> None:
    with announced("m", ADDRESSES):
        (file,) = directory.iterdir()
        file.write_text("{")
        assert served_now() == ()


def test_a_server_serves_even_where_it_cannot_be_announced(directory: Path) -> None:
    directory.write_text("in the way")
    with announced("m", ADDRESSES) as problem:
        assert "cannot be written" in problem
