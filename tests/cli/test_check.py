"""`bench check`: every check survives the one that killed its process, and mistakes of its user are told as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Bench

_TWO = """\
schema: 1
name: two
models:
  m: {null: {service_ms: 0.01}}
variants:
  plain: {source: "null", adapter: "null"}
  deadly: {source: "null", adapter: {"null": {fault: segfault, fault_phase: check}}}
measurement: {input_pool: 2}
"""


def test_every_check_of_every_variant_is_made_even_where_one_kills_its_process(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    told = bench("check", "two.yaml", "--json")
    assert told.code == 3, told.err
    plain, deadly = json.loads(told.out)["variants"]
    assert plain["passed"]
    assert {result["status"] for result in plain["results"]} <= {"passed", "warned", "skipped"}
    assert not deadly["passed"]
    texts = {result["check"]: result["text"] for result in deadly["results"]}
    assert all("SIGSEGV" in texts[check] for check in ("answers", "determinism", "round_trip"))


def test_one_variant_can_be_chosen_and_an_unknown_one_names_those_there_are(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    told = bench("check", "two.yaml", "--variant", "pla*")
    assert told.code == 0, told.err
    assert "m.plain" in told.out
    assert "deadly" not in told.out
    unknown = bench("check", "two.yaml", "--variant", "nope")
    assert unknown.code == 2
    assert "there are plain, deadly" in unknown.err


def test_every_pattern_must_fit_a_variant(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    told = bench("check", "two.yaml", "--variant", "plain", "--variant", "plian")
    assert told.code == 2
    assert "no variant is called plian" in told.err


def test_a_missing_file_of_cases_and_a_strange_range_are_refused_in_two_lines(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    for words, said in (
        (["--cases", "no.npz"], "no such file"),
        (["--cases", "no\udcff.npz"], "is not valid UTF-8"),
        (["--output-range", "x"], "not a range"),
    ):
        told = bench("check", "two.yaml", *words)
        assert told.code == 2
        assert said in told.err


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"other": np.zeros((3, 4), np.float32), "labels": np.zeros(3, np.int64)}, "'input' is missing"),
        ({"input": np.zeros((3, 4), np.float32)}, "holds no `labels`"),
        ({"input": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64)}, "holds no samples"),
    ],
)
def test_a_file_of_cases_for_another_model_is_the_users_mistake_and_no_variants(
    bench: Bench, tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    np.savez(tmp_path / "known.npz", **arrays)
    told = bench("check", "two.yaml", "--cases", "known.npz")
    assert told.code == 2, told.out
    assert said in told.err
    assert told.out == ""
