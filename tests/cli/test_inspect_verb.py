"""`bench inspect` without any framework: a null model, files that are refused, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.zoo.null import Null
from tests.cli.conftest import Bench


@pytest.fixture
def null_file(tmp_path: Path) -> Path:
    """A model file that needs no framework."""
    return Path(Null().build("null", tmp_path).path)


def test_a_file_is_told_in_a_table_and_as_one_object(bench: Bench, null_file: Path) -> None:
    told = bench("inspect", null_file.name)
    assert told.code == 0, told.err
    assert null_file.name in told.out
    assert "only its size and its signature are known" in told.out
    told = bench("inspect", null_file.name, "--json")
    found = json.loads(told.out)
    assert (found["format"], found["size_bytes"]) == ("null", null_file.stat().st_size)
    assert found["inputs"]
    assert found["work"]["per"] == "sample"
    assert (found["nodes"], found["parameters"]) == (0, 0)


def test_two_files_are_told_side_by_side(bench: Bench, null_file: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(null_file.read_text() + "\n")
    told = bench("inspect", null_file.name, "--diff", "other.json", "--json")
    size = null_file.stat().st_size
    assert json.loads(told.out)["differences"] == [{"what": "size_bytes", "first": size, "second": size + 1}]
    told = bench("inspect", null_file.name, "--diff", null_file.name)
    assert told.out.startswith("no difference between ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere.onnx"], 2, "nowhere.onnx: no such file"),
        (["model.pt"], 2, "names no format"),
        (["digits", "--format", "tensorrt_engine"], 2, "is not offered as 'tensorrt_engine'"),
        (["mine.py:build"], 5, "--trust mine.py:build"),
        (["null.json", "--diff", "mine.py:build"], 5, "--trust mine.py:build"),
        (["mine.py:build", "--trust", "null.json"], 5, "--trust mine.py:build"),
        (["null.json", "--tensorboard", "logs\udcff"], 2, "is not valid UTF-8"),
        (["null.json", "--tensorboard", "logs"], 3, "cannot be drawn"),
        (["broken.json"], 3, "broken.json: not a null model"),
    ],
)
def test_what_cannot_be_inspected_says_why_and_what_next(
    bench: Bench, null_file: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    null_file.rename(tmp_path / "null.json")
    (tmp_path / "model.pt").touch()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "mine.py").write_text("raise AssertionError('this must never run')\n")
    told = bench("inspect", *words)
    assert told.code == code, told.err
    assert said in told.err
    assert "  next: " in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


@pytest.mark.parametrize("trusted", ["mine.py", "mine.py:build"])
def test_trust_in_a_file_lets_it_run(bench: Bench, tmp_path: Path, trusted: str) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('mine.py has been run')\n")
    told = bench("inspect", "mine.py:build", "--trust", trusted)
    assert told.code == 3, told.err
    assert "mine.py has been run" in told.err
