"""What the exit code and the last lines say: whose fault it is and what to do next, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import list as list_verb
from bench.core.errors import HostError
from tests.cli.conftest import MATRIX, Bench, run_paths

FOUR_MISTAKES = """\
schema: 1
models:
  digits: {variants: [keras, onxx]}
axes:
  batch: [1, 0]
  topologgy: [direct]
measurement:
  rounds: five
"""


def test_0_when_every_cell_is_ok(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    told = bench("run", str(matrix))
    assert told.code == 0, told.err
    (run,) = run_paths(tmp_path / "results")
    assert told.out.rstrip().endswith(f"report: {run / 'report.html'}")
    assert (run / "report.html").is_file()
    assert "plain" in told.out
    assert "ok" in told.err


def test_2_for_a_matrix_with_four_mistakes_and_each_has_its_place(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(FOUR_MISTAKES)
    told = bench("run", "bad.yaml")
    assert told.code == 2
    places = [line.split(" ")[0] for line in told.err.splitlines() if line.startswith("bad.yaml:")]
    assert places == ["bad.yaml:3:30:", "bad.yaml:5:14:", "bad.yaml:6:3:", "bad.yaml:8:11:"]
    assert told.out == ""
    assert not (tmp_path / "results").exists()


def test_3_when_a_cell_is_not_ok_and_the_others_are_shown(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(MATRIX.replace("{seed: 1}", "{output_error: 0.5}"))
    told = bench("run", "bad.yaml", "--json", "--no-report")
    assert told.code == 3
    cells = {cell["variant"]: cell for cell in json.loads(told.out)["cells"]}
    assert cells["plain"]["status"] == "ok"
    assert cells["twin"]["status"] == "invalid"
    assert cells["twin"]["reason"]


def test_5_when_code_is_refused_and_the_way_out_is_said(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise AssertionError('this must never run')\n")
    told = bench("run", "mine.py:build", "--json", "--no-report")
    assert told.code == 5
    (cell,) = json.loads(told.out)["cells"]
    assert cell["status"] == "refused"
    assert "--trust" in cell["hint"]
    assert "must never run" not in told.err


@pytest.mark.parametrize("results", ["/proc/nowhere", "a file", "/proc"])
def test_6_when_results_cannot_be_written_and_it_is_said_before_the_first_cell(
    bench: Bench, matrix: Path, tmp_path: Path, results: str
) -> None:
    (tmp_path / "a file").touch()
    told = bench("run", str(matrix), "--results", results)
    assert told.code == 6
    assert told.err.startswith("error (results): ")
    assert results in told.err
    assert "next: " in told.err
    assert "interleaved" not in told.err, "a group was begun"
    assert told.out == ""


@pytest.mark.parametrize(
    ("words", "suggested"), [(["rnu"], "run"), (["reprot", "--json"], "report"), (["--debug", "plann"], "plan")]
)
def test_2_for_a_verb_with_a_typo_and_the_closest_is_suggested(bench: Bench, words: list[str], suggested: str) -> None:
    told = bench(*words)
    assert told.code == 2
    assert f"did you mean '{suggested}'?" in told.err


def test_2_for_a_verb_like_no_other_and_all_are_named(bench: Bench) -> None:
    told = bench("zzzzzz")
    assert told.code == 2
    assert "did you mean" not in told.err
    assert all(verb in told.err for verb in ("run", "plan", "list", "doctor", "report", "replay", "selfcheck"))


@pytest.mark.parametrize("words", [[], ["run", "--no-such-option"], ["report", "--markdown", "--json"]])
def test_2_for_words_that_do_not_fit(bench: Bench, words: list[str]) -> None:
    told = bench(*words)
    assert told.code == 2
    assert "usage: " in told.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "nowhere.onnx"], "nowhere.onnx"),
        (["run", "digist"], "did you mean 'digits'?"),
        (["plan", "--only", "nothing"], "--only 'nothing' matches no cell"),
        (["run", "--set", "a"], "key.key=value"),
        (["report", "20261120-none"], "20261120-none"),
        (["replay", "20261120-none", "m.plain"], "20261120-none"),
    ],
)
def test_2_for_what_the_user_names_and_is_not_there(
    bench: Bench, matrix: Path, words: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "default.yaml").write_text(MATRIX)
    told = bench(*words)
    assert told.code == 2
    assert said in told.err
    assert "Traceback" not in told.err


def test_1_for_a_bug_of_ours_in_words_and_debug_shows_where(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(list_verb, "execute", fail)
    told = bench("list")
    assert told.code == 1
    assert told.err.startswith("error (deploybench): a bug: ZeroDivisionError: division by zero\n")
    assert "--debug" in told.err
    assert "Traceback" not in told.err
    told = bench("list", "--debug")
    assert told.code == 1
    assert "Traceback" in told.err
    assert "in fail" in told.err


def test_debug_shows_the_traceback_of_a_known_error_and_keeps_its_exit_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(words: object) -> int:
        raise HostError("no memory", hint="buy some") from OSError("the cause below")

    monkeypatch.setattr(list_verb, "execute", fail)
    for words in (["list", "--debug"], ["--debug", "list"]):
        told = bench(*words)
        assert told.code == HostError.exit_code
        assert "Traceback" in told.err
        assert "the cause below" in told.err
        assert told.err.endswith("error (host): no memory\n  next: buy some\n")
    assert bench("list").err == "error (host): no memory\n  next: buy some\n"


def test_130_when_interrupted_outside_a_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(list_verb, "execute", interrupted)
    told = bench("list")
    assert (told.code, told.err) == (130, "")


def test_help_and_version_are_no_errors(bench: Bench) -> None:
    assert bench("--help").code == bench("--version").code == bench("run", "--help").code == 0


def test_a_yaml_bomb_is_refused_at_once_with_its_place(bench: Bench, tmp_path: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(["schema: 1", *levels, "name: *a9"]) + "\n")
    told = bench("run", "bomb.yaml")
    assert told.code == 2
    assert "bomb.yaml:2:5: anchors such as &a0 are refused" in told.err
    assert "aliases such as *a9 are refused" in told.err
    assert len(told.err) < 50_000
