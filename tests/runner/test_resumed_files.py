"""Resuming is for the same question: a model file that changed meanwhile is another question."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import matrix, records, runner
from bench.core.errors import StoreError
from bench.core.record import Record
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


_EXTERNAL = """
import sys
import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
weights = numpy_helper.from_array(np.full((4, 100_000), float(sys.argv[2]), np.float32), "w")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 100_000])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
save(model, sys.argv[1], save_as_external_data=True, location="weights.bin", size_threshold=0)
"""


def _write_with_external_data(path: Path, value: float) -> None:
    (path.parent / "weights.bin").unlink(missing_ok=True)  # the library appends
    subprocess.run([sys.executable, "-c", _EXTERNAL, str(path), str(value)], check=True)


def test_a_run_whose_model_changed_in_a_file_beside_it_is_not_resumed_as_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    _write_with_external_data(tmp_path / "model.onnx", 1.0)
    asked = tmp_path / "asked.yaml"
    asked.write_text(
        "schema: 1\nname: asked\nmodels: {m: {path: model.onnx, variants: [onnx]}}\naxes: {batch: [1, 2]}\n"
        + MEASUREMENT
    )
    assert _run(asked, InterruptsAfterOne()).interrupted_by == signal.SIGINT
    _write_with_external_data(tmp_path / "model.onnx", 2.0)
    with pytest.raises(StoreError) as caught:
        _run(asked, runner.Silent())
    assert "the model has changed" in caught.value.message
    assert "--new" in str(caught.value.hint)
