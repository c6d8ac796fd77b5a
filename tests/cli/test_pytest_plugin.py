"""`pytest --bench-check`: each check is a test, and the user's mistakes end the collection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import ROOT, Told

_MATRIX = """\
schema: 1
name: two
models:
  m: {null: {service_ms: 0.01}}
variants:
  plain: {source: "null", adapter: "null"}
  spoilt: {source: "null", adapter: {"null": {fault: nan}}}
measurement: {input_pool: 2}
"""
#: In place of real checks, which take processes.
_WARNED = """\
from bench import runner
from bench.core.behaviour import CHECKS, CheckResult

def check_behaviour(*words, **options):
    results = tuple(CheckResult(check=check, status="warned", text="worth knowing") for check in CHECKS)
    yield runner.VariantChecks(model="m", variant="plain", results=results)

runner.check_behaviour = check_behaviour
"""
_BROKEN = """\
from bench import runner

def check_behaviour(*words, **options):
    with open("made", "a") as stream:
        stream.write("once ")
    raise RuntimeError("a bug")

runner.check_behaviour = check_behaviour
"""


def run_pytest(directory: Path, *words: str, conftest: str = "") -> Told:
    """What pytest says to these words in a project with one test of its own."""
    (directory / "two.yaml").write_text(_MATRIX)
    (directory / "test_own.py").write_text("def test_own():\n    pass\n")
    (directory / "conftest.py").write_text(conftest)
    usual = ["-p", "bench.pytest_plugin", "-p", "no:cacheprovider", "-rA", "--rootdir", "."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *usual, "--bench-check", "two.yaml", *words, "test_own.py"],
        cwd=directory,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DEPLOYBENCH_CACHE": str(directory / "cache"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "COLUMNS": "200",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Told(code=done.returncode, out=done.stdout, err=done.stderr)


def test_each_check_is_a_test_and_a_failed_one_is_one_line(tmp_path: Path) -> None:
    told = run_pytest(tmp_path)
    assert told.code == 1, told.out + told.err
    assert "PASSED ::m.plain: determinism" in told.out
    assert "FAILED ::m.spoilt: answers" in told.out
    assert "values are not finite on 2 batches of valid inputs" in told.out
    assert "Traceback" not in told.out
    assert "raise BehaviourFailed" not in told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--bench-variant", "plain", "--bench-variant", "x*"],
            "no variant is called x* (next: there are plain, spoilt)",
        ),
        (["--bench-cases", "no.npz"], "no such file"),
        (["--bench-output-range", "output=low"], "is not a range of an output"),
    ],
)
def test_words_that_mean_nothing_end_the_collection(tmp_path: Path, words: list[str], said: str) -> None:
    told = run_pytest(tmp_path, *words)
    assert told.code == pytest.ExitCode.USAGE_ERROR, told.out
    assert said in told.err
    assert "passed" not in told.out


def test_a_mistake_that_the_model_shows_is_one_line_with_the_next_step(tmp_path: Path) -> None:
    np.savez(tmp_path / "known.npz", input=np.zeros((3, 4), np.float32))
    told = run_pytest(tmp_path, "--bench-cases", "known.npz", "--bench-variant", "plain")
    assert told.code == 1
    assert "known.npz: holds no `labels` (next: `labels` are integers" in told.out
    assert "bench/runner" not in told.out


def test_a_bug_keeps_its_traceback_and_is_met_once(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, "--bench-variant", "plain", conftest=_BROKEN)
    assert told.code == 1
    assert 'raise RuntimeError("a bug")' in told.out
    assert "1 passed" in told.out
    assert (tmp_path / "made").read_text() == "once "


def test_a_check_that_warns_is_a_warning_that_can_be_filtered(tmp_path: Path) -> None:
    told = run_pytest(tmp_path, "--bench-variant", "plain", conftest=_WARNED)
    assert told.code == 0, told.out
    assert "BehaviourWarning: m.plain: determinism: worth knowing" in told.out
    told = run_pytest(
        tmp_path, "--bench-variant", "plain", "-W", "error::bench.pytest_plugin.BehaviourWarning", conftest=_WARNED
    )
    assert told.code == 1
    assert "FAILED ::m.plain: determinism" in told.out
