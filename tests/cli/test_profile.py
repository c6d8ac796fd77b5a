"""`bench profile`: a second pass over a cell of a run, or over a model and a variant."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from bench.runner import profiling as looking
from tests.cli.conftest import Bench, run_paths


def test_a_cell_whose_runtime_no_profiler_knows_still_has_its_python_looked_at(
    bench: Bench, matrix: Path, tmp_path: Path
) -> None:
    bench("run", str(matrix), "--no-report")
    (run,) = run_paths(tmp_path / "results")
    before = (run / "journal.jsonl").read_bytes()
    told = bench("profile", "m.twin", "--runs", "3")
    assert told.code == 0, told.err
    assert "no profiler knows the operators of null" in told.out
    assert "hottest lines of m.twin" in told.out
    assert "https://ui.perfetto.dev" in told.out
    (directory,) = (run / "profiles").iterdir()
    assert directory.name.startswith("m.twin.")
    index = json.loads((directory / "index.json").read_text())
    assert {each["path"] for each in index["files"]} | {"index.json"} == {each.name for each in directory.iterdir()}
    trace = json.loads((directory / "trace.json").read_text())
    names = [each["name"] for each in trace["traceEvents"] if each["ph"] == "X"]
    assert [name for name in names if name.startswith("call ")][:3] == ["call 0", "call 1", "call 2"]
    assert (run / "journal.jsonl").read_bytes() == before


def test_two_cells_are_looked_at_with_the_named_profiler_alone(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    bench("run", str(matrix), "--no-report")
    words = ["--against", "m.twin", "--profiler", "cprofile", "--out", "seen", "--runs", "2", "--json"]
    told = bench("profile", "m.plain", *words)
    assert told.code == 0, told.err
    cells = json.loads(told.out)["cells"]
    assert [cell["cell_id"].split(".")[1] for cell in cells] == ["plain", "twin"]
    assert all(cell["functions"] and not cell["lines"] and cell["ops"] is None for cell in cells)
    assert sorted(each.name for each in (tmp_path / "seen").iterdir()) == sorted(cell["cell_id"] for cell in cells)


def test_a_second_look_replaces_the_first(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    bench("run", str(matrix), "--no-report")
    for profiler in ("line_profiler", "cprofile"):
        assert bench("profile", "m.plain", "--profiler", profiler, "--out", "seen", "--runs", "1").code == 0
    (directory,) = (tmp_path / "seen").iterdir()
    assert {each.name for each in directory.iterdir()} == {
        "cprofile.prof",
        "cprofile-open.prof",
        "index.json",
        "trace.json",
    }


def test_what_cannot_be_looked_at_is_said_with_what_can(bench: Bench, matrix: Path) -> None:
    bench("run", str(matrix), "--no-report")
    told = bench("profile", "m.nope")
    assert (told.code, "'m.nope' is no cell of run" in told.err) == (2, True)
    told = bench("profile", "m.plain", "--profiler", "torhc")
    assert (told.code, "did you mean 'torch'?" in told.err) == (2, True)
    told = bench("profile", "m.plain", "--profiler", "torch")
    assert (told.code, "m.plain" in told.err) == (2, True)
    told = bench("profile", "digits", "nope")
    assert (told.code, "'nope' is no cell of" in told.err) == (2, True)
    assert bench("profile", "m.plain", "--runs", "0").code == 2
    assert bench("profile", "m.plain", "--deadline", "0").code == 2


@pytest.mark.parametrize("option", ["--results", "--out"])
@pytest.mark.parametrize(("place", "said"), [("tiny.yaml/below", "cannot be made"), ("r\udce9", "not valid UTF-8")])
def test_a_place_that_cannot_hold_a_profile_is_said_up_front(
    bench: Bench, matrix: Path, monkeypatch: pytest.MonkeyPatch, option: str, place: str, said: str
) -> None:
    monkeypatch.setattr(looking, "profile_cells", None)  # not reached
    told = bench("profile", str(matrix), "plain", option, place)
    assert (told.code, said in told.err, f": {option}" in told.err) == (6, True, True), told.err


def test_variants_of_a_matrix_are_looked_at_with_a_changed_value(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    words = ["--set", "axes.batch=[3]", "--profiler", "cprofile", "--runs", "1", "--json"]
    told = bench("profile", str(matrix), "m.plain", "--against", "twin", *words)
    assert told.code == 0, told.err
    cells = json.loads(told.out)["cells"]
    assert [cell["cell_id"].split(".")[1] for cell in cells] == ["plain", "twin"]
    assert all((tmp_path / "results" / "profiles" / cell["cell_id"]).is_dir() for cell in cells)


def test_a_disk_that_is_full_is_no_bug(bench: Bench, matrix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(looking, "write_files", full)
    told = bench("profile", str(matrix), "plain", "--profiler", "cprofile", "--runs", "1")
    assert (told.code, "what was seen cannot be written: No space left on device" in told.err) == (6, True), told.err
    assert "next: free space there, or name another directory: --out" in told.err


def test_a_look_may_take_as_long_as_its_three_phases_and_the_deadline_is_the_users_to_raise(
    bench: Bench, matrix: Path
) -> None:
    told = bench("profile", str(matrix), "plain", "--profiler", "cprofile", "--runs", "100000", "--deadline", "1.5")
    assert told.code == 3
    assert "profile did not end within 4.5 s" in told.out
