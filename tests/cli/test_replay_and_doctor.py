"""What can be done with a run afterwards: repeat one cell, find what was damaged."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from bench import records
from tests.cli.conftest import Bench, run_paths
from tests.examples.records import write_run


def only_new(results: Path, known: Path) -> Path:
    (new,) = set(run_paths(results)) - {known}
    return new


def test_replay_measures_one_cell_beside_its_reference_in_a_run_of_its_own(
    bench: Bench, matrix: Path, tmp_path: Path
) -> None:
    bench("run", str(matrix), "--no-report")
    (run,) = run_paths(tmp_path / "results")
    matrix.unlink()  # what was frozen at the start is enough
    before = (run / "journal.jsonl").read_bytes()
    twin = records.open_run(run).records()[0][1].cell_id
    told = bench("replay", run.name, "m.twin", "--json", "--no-report")
    assert told.code == 0, told.err
    assert [cell["variant"] for cell in json.loads(told.out)["cells"]] == ["plain", "twin"]
    assert json.loads(told.out)["cells"][1]["id"] == twin
    replayed = records.open_run(only_new(tmp_path / "results", run))
    assert replayed.manifest.name == "replay of m.twin"
    assert (run / "journal.jsonl").read_bytes() == before


def test_replay_of_an_unknown_cell_names_those_that_there_are(bench: Bench, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results")
    told = bench("replay", run.path.name, "digits.nope")
    assert told.code == 2
    assert "'digits.nope' names no cell" in told.err
    assert run.records()[0][0].cell_id in told.err
    told = bench("replay", run.path.name, "digits.onnx")
    assert told.code == 2
    assert "'digits.onnx' names 2 cells" in told.err


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_replay_of_code_needs_the_word_of_the_user_again(bench: Bench, tmp_path: Path) -> None:
    ran = tmp_path / "ran.txt"
    (tmp_path / "mine.py").write_text(
        f"open({str(ran)!r}, 'a').write('x')\nraise ValueError('this is as far as it goes')\n"
    )
    told = bench("run", "mine.py:build", "--trust", "mine.py", "--json", "--no-report")
    assert told.code == 3
    (cell,) = json.loads(told.out)["cells"]
    assert (cell["status"], "this is as far as it goes" in cell["reason"]) == ("failed", True)
    assert ran.read_text() == "x"
    (run,) = run_paths(tmp_path / "results")

    told = bench("replay", run.name, cell["id"], "--json", "--no-report")
    assert told.code == 5
    (refused,) = json.loads(told.out)["cells"]
    assert refused["status"] == "refused"
    assert ran.read_text() == "x", "code was run that nobody vouched for today"

    told = bench("replay", run.name, cell["id"], "--trust", "mine.py", "--json", "--no-report")
    assert json.loads(told.out)["cells"][0]["status"] == "failed"
    assert ran.read_text() == "xx"


def test_doctor_finds_a_sound_run_sound(bench: Bench, tmp_path: Path) -> None:
    write_run(tmp_path / "results")
    told = bench("doctor")
    assert told.code == 0
    assert "every record and sample file is what was written" in told.out
    assert "DAMAGED" not in told.out


def test_doctor_names_file_and_line_of_a_flipped_byte(bench: Bench, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results")
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    middle = len(lines[2]) // 2
    lines[2] = lines[2][:middle] + bytes([lines[2][middle] ^ 1]) + lines[2][middle + 1 :]
    run.journal_path.write_bytes(b"".join(lines))
    told = bench("doctor")
    assert told.code == 6
    assert f"DAMAGED   results/runs/{run.path.name}/journal.jsonl:3: " in told.out
    damages = json.loads(bench("doctor", "--json").out)["damages"]
    assert len(damages) == 1
    assert f"{run.path.name}/journal.jsonl:3: " in damages[0]


@pytest.mark.parametrize("pattern", ["run.json", "samples/*.npz"])
def test_doctor_names_what_else_of_a_run_was_cut_off(bench: Bench, tmp_path: Path, pattern: str) -> None:
    damaged, sound = write_run(tmp_path / "results"), write_run(tmp_path / "results")
    file = min(damaged.path.glob(pattern))
    content = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content[: len(content) // 2])
    told = bench("doctor")
    assert told.code == 6
    (line,) = (line for line in told.out.splitlines() if line.startswith("DAMAGED"))
    assert str(file.relative_to(tmp_path)) in line
    assert sound.path.name not in line


def test_doctor_of_results_that_do_not_exist_yet_finds_no_damage(bench: Bench, tmp_path: Path) -> None:
    assert bench("doctor", "--results", "nowhere yet").code == 0
    assert not (tmp_path / "nowhere yet").exists()


def test_report_suggests_the_run_whose_name_is_close(bench: Bench, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results")
    told = bench("report", run.path.name[:-1])
    assert told.code == 2
    assert f"did you mean {run.path.name}?" in told.err
