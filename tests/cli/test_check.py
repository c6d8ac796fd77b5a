"""`bench check` and the pytest plug-in: every check survives the one that killed its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import ROOT, Bench

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
    assert all("SIGSEGV" in r["text"] for r in deadly["results"] if r["check"] in ("answers", "determinism"))


def test_one_variant_can_be_chosen_and_an_unknown_one_names_those_there_are(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    told = bench("check", "two.yaml", "--variant", "pla*")
    assert told.code == 0, told.err
    assert "m.plain" in told.out
    assert "deadly" not in told.out
    unknown = bench("check", "two.yaml", "--variant", "nope")
    assert unknown.code == 2
    assert "there are plain, deadly" in unknown.err


def test_a_missing_file_of_cases_and_a_strange_range_are_refused_in_two_lines(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    for words, said in ((["--cases", "no.npz"], "no such file"), (["--output-range", "x"], "not a range")):
        told = bench("check", "two.yaml", *words)
        assert told.code == 2
        assert said in told.err


def test_pytest_shows_each_check_as_a_test_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(_TWO)
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    words = ["-p", "bench.pytest_plugin", "-p", "no:cacheprovider", "-rA", "--bench-check", "two.yaml", "test_own.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", ".", *words],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DEPLOYBENCH_CACHE": str(tmp_path / "cache"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "m.plain: determinism" in done.stdout
    assert "m.deadly: determinism" in done.stdout
    assert "it ended the process" in done.stdout
    assert "Traceback" not in done.stdout
