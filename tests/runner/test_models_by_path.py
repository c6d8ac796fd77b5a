"""Models that the user names by path run as they are, without a line of code or YAML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.isolated import call_isolated

_MAKE = "tests.runner.path_models:make"


def bench_run(directory: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """`bench run WORDS --json` in a directory of its own: exit code, the object on stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", *words, "--json", "--quick", "--results", str(directory / "results")],
        cwd=directory,
        env={**os.environ, "DEPLOYBENCH_CACHE": str(directory / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_onnx_file_a_saved_model_and_a_frozen_graph_run_by_path(tmp_path: Path) -> None:
    paths = call_isolated(_MAKE, directory=tmp_path, timeout_s=120)
    for format, adapter_variant in (("onnx", "onnx"), ("saved_model", "saved_model"), ("frozen_graph", "frozen")):
        # A batch that keeps the smallest of them long enough for the timer.
        code, told, errors = bench_run(tmp_path, paths[format], "--set", "axes.batch=[512]")
        cells = {cell["variant"]: cell for cell in told["cells"]}
        assert cells[adapter_variant]["status"] == "ok", errors
        assert cells[adapter_variant]["p50_ms"] > 0
        assert code in {0, 3}, errors
        assert (tmp_path / "results" / "runs" / told["run"] / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_code_is_refused_until_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def build():\n"
        "    def double(values):\n"
        "        return {'doubled': 2 * values}\n"
        "    return double\n"
        "build.inputs = {'values': ('float32', ('batch', 4))}\n"
    )
    code, told, _ = bench_run(tmp_path, "mine.py:build")
    assert code == 5
    assert told["cells"][0]["status"] == "refused"
    assert "--trust" in told["cells"][0]["hint"]
    code, told, errors = bench_run(tmp_path, "mine.py:build", "--trust", "mine.py")
    assert told["cells"][0]["status"] in {"ok", "invalid"}, errors  # so short a call may be too short for the timer
    assert told["cells"][0]["reason"] == "" or "too-fast" in told["cells"][0]["reason"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_users_own_samples_and_labels_give_an_accuracy(tmp_path: Path) -> None:
    paths = call_isolated(_MAKE, directory=tmp_path, timeout_s=120)
    samples = np.random.default_rng(0).random((1200, 12), dtype=np.float32)
    np.savez(tmp_path / "mine.npz", features=samples, labels=np.zeros(1200, dtype=np.int64))
    _, told, errors = bench_run(tmp_path, paths["onnx"], "--inputs", "mine.npz", "--set", "axes.batch=[600]")
    assert told["cells"][0]["status"] == "ok", errors
    assert told["cells"][0]["accuracy"] is not None
