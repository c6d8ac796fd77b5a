from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import records
from bench.explain.divergence import Divergence
from tests.cli.conftest import Bench


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
