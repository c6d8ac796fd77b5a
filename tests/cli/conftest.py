"""The command line as a user has it: words in, exit code, stdout and stderr out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import records
from bench.cli.main import main

ROOT = Path(__file__).parents[2]
MATRIX = """\
schema: 1
name: tiny
models:
  m: {null: {service_ms: 0.05}}
variants:
  plain: {source: "null", adapter: "null"}
  twin: {source: "null", adapter: {"null": {seed: 1}}}
measurement: {rounds: 1, max_rounds: 1, blocks: 2, block_min_calls: 3, block_min_s: 0.001, warm_up_min_calls: 1,
              warm_up_min_s: 0.001, warm_up_max_s: 0.02, input_pool: 1}
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a call of the command line left."""

    code: int
    out: str
    err: str


Bench = Callable[..., Told]


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """A matrix of two equal variants of a null model."""
    path = tmp_path / "tiny.yaml"
    path.write_text(MATRIX)
    return path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Call the command line in this process; its working directory and its cache are the test's own."""
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def bench(*words: str) -> Told:
        try:
            code = main(words)
        except SystemExit as left:  # argparse
            code = left.code if isinstance(left.code, int) else 1
        said = capsys.readouterr()
        return Told(code=code, out=said.out, err=said.err)

    return bench


@pytest.fixture
def bench_process(tmp_path: Path) -> Bench:
    """Call the command line as a program of its own; `environment` adds variables, `without` takes some away."""

    def bench_process(
        *words: str,
        environment: Mapping[str, str] | None = None,
        without: tuple[str, ...] = (),
        cwd: Path = tmp_path,
        script: str = "",
    ) -> Told:
        kept = {name: value for name, value in os.environ.items() if name not in without}
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        ours = {"DEPLOYBENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        ours = {name: value for name, value in ours.items() if name not in without}
        command = [sys.executable, "-m", "bench", *words]
        done = subprocess.run(
            ["bash", "-c", script, "bash", *command] if script else command,
            cwd=cwd,
            env=kept | ours | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=50,
            check=False,
        )
        return Told(code=done.returncode, out=done.stdout, err=done.stderr)

    return bench_process


def run_paths(results: Path) -> list[Path]:
    return list(records.run_paths(results))
