"""Resuming is for the same question: a model file that changed meanwhile is another question."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bench import matrix, records, runner
from bench.core.results import Record
from tests.runner.conftest import MEASUREMENT

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow


class InterruptsAfterOne(runner.Silent):
    """Presses Ctrl-C when the first record is safe."""

    def recorded(self, record: Record) -> None:
        if record.outcome.status == "ok":
            os.kill(os.getpid(), signal.SIGINT)


def _run(path: Path, watcher: runner.Watcher) -> runner.RunResult:
    return runner.run(matrix.load(path), runner.RunOptions(results_dir=path.parent / "results"), watcher)


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_is_resumed_unless_its_model_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, changed: bool
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model.json"
    model.write_text('{"service_ms": 0.05}')
    asked = tmp_path / "asked.yaml"
    asked.write_text(
        "schema: 1\nname: asked\nmodels: {m: {path: model.json}}\n"
        'variants: {plain: {source: "null", adapter: "null"}}\naxes: {batch: [1, 2]}\n' + MEASUREMENT
    )
    assert _run(asked, InterruptsAfterOne()).interrupted_by == signal.SIGINT
    if changed:
        model.write_text('{"service_ms": 0.06}')
    result = _run(asked, runner.Silent())
    assert len(records.run_paths(tmp_path / "results")) == (2 if changed else 1)
    assert [record.outcome.status for record in result.records] == ["ok", "ok"]
    assert len({record.source_sha256 for record in result.records}) == 1
