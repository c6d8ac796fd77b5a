from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench import records, runner
from bench.explain.divergence import Divergence
from bench.explain.speed import Explanation
from tests.cli.conftest import Bench
from tests.explain.profiles import explained, op, subject


@pytest.fixture
def run_dir(tmp_path: Path, matrix: Path, bench: Bench) -> Path:
    bench("run", str(matrix), "--no-report", "--results", "results")
    return records.run_paths(tmp_path / "results")[0]


def test_numbers_of_a_recorded_cell_are_compared_with_its_reference_and_kept(run_dir: Path, bench: Bench) -> None:
    told = bench("explain", "twin", "--numerics")
    assert told.code == 0, told.err
    assert "of twin is within the tolerance of plain" in told.out
    assert "twin and plain have no common tensor inside" in told.out
    (kept,) = records.read_explanations(run_dir, "divergences", Divergence).values()
    assert (kept.reference, kept.variant) == ("plain", "twin")
    assert kept.words[0] in told.out


def test_an_answer_that_cannot_be_kept_has_been_shown(run_dir: Path, bench: Bench) -> None:
    (run_dir / "divergences").write_text("in the way")
    told = bench("explain", "twin", "--numerics")
    assert told.code == 6
    assert "of twin is within the tolerance of plain" in told.out
    assert "cannot be written" in told.err
    assert "next: the answer was not kept" in told.err


@pytest.mark.parametrize("words", [("twin",), ("tiny.yaml", "twin"), ("twin", "--run", "{run_dir}", "--results", "x")])
def test_nothing_is_explained_beside_a_run(run_dir: Path, bench: Bench, words: tuple[str, ...]) -> None:
    with records.exclusive_writer(run_dir.parents[1], "a run"):
        told = bench("explain", *(word.format(run_dir=run_dir) for word in words), "--numerics")
    assert told.code == 6
    assert "run a run (pid" in told.err


@dataclass
class Asked:
    """What the command line asks the runner for."""

    timed_ms: Any = None
    timed_by: str = ""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    seen = Asked()

    def explain_cells(*_: Any, timed_ms: Any, timed_by: str) -> Explanation:
        seen.timed_ms, seen.timed_by = timed_ms, timed_by
        return explained(subject("plain", 1.0, op("Conv", 0.5)), subject("twin", 2.0, op("Conv", 1.5)))

    monkeypatch.setattr(runner, "explain_cells", explain_cells)
    return seen


def test_the_medians_of_a_run_made_here_are_taken(run_dir: Path, bench: Bench, asked: Asked) -> None:
    assert bench("explain", "twin").code == 0
    assert len(asked.timed_ms) == 2
    assert asked.timed_by == f"run {run_dir.name}"


def test_what_another_environment_timed_is_timed_anew_and_that_is_said(
    run_dir: Path, bench: Bench, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "environment_id", lambda _: "elsewhere")
    assert bench("explain", "twin").code == 0
    assert asked.timed_ms is None
    assert f"for run {run_dir.name} timed them in another environment" in asked.timed_by


def test_two_cells_are_compared_the_way_they_are_named(matrix: Path, bench: Bench) -> None:
    told = bench("explain", str(matrix), "m.twin", "plain", "--numerics", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert (found["reference"], found["variant"]) == ("twin", "plain")


def test_a_runtime_that_no_profiler_knows_is_named(matrix: Path, bench: Bench) -> None:
    told = bench("explain", str(matrix), "plain", "twin")
    assert told.code == 3
    assert "no profiler knows the operators of null" in told.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{matrix}",), "which variant of it?"),
        (("{matrix}", "twim"), "did you mean 'twin'?"),
        (("{matrix}", "plain"), "plain is what it would be compared with"),
        (("{matrix}", "plain", "twin", "plain"), "one or two cells, not 3"),
        (("{matrix}", "twin", "--set", "axes.batch=[1, 2]"), "2 groups of tiny have 'twin'"),
        (("plain", "twin"), "no run there yet"),
        (("plain", "--set", "axes.batch=[1]"), "a recorded run is fixed"),
    ],
)
def test_words_that_are_not_clear_are_answered_with_what_there_is(
    words: tuple[str, ...], said: str, matrix: Path, bench: Bench
) -> None:
    told = bench("explain", *(word.format(matrix=matrix) for word in words))
    assert told.code == 2
    assert said in told.err
