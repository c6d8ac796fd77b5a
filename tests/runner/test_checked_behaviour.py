"""Checks of behaviour on null models: what one variant meets costs no other, and nothing of it stays on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import matrix, runner
from bench.core.behaviour import CHECKS
from bench.core.errors import HostError
from bench.core.job import BehaviourJob
from bench.runner.crew import Crew
from bench.supervise import ChildError
from tests.runner.conftest import null_matrix


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> matrix.Matrix:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    return matrix.load(null_matrix({"first": "seed: 1", "second": "seed: 2"}))


def test_a_host_that_cannot_start_a_process_is_the_outcome_of_that_variant_alone(
    two: matrix.Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire = Crew.hire

    def hire_all_but_one(self: Crew, job: Any, name: str, limits: Any = None) -> Any:
        if isinstance(job, BehaviourJob) and job.cell.variant.name == "first" and name.endswith(".check2"):
            raise HostError("no memory for a process", hint="close something")
        return hire(self, job, name, limits)

    monkeypatch.setattr(Crew, "hire", hire_all_but_one)
    first, second = runner.check_behaviour(two, runner.Silent())
    assert first.outcome is not None
    assert (first.outcome.status, first.outcome.reason) == ("failed", "no memory for a process")
    assert [result.check for result in first.results] == list(CHECKS[:-1])  # all before the one in a second process
    assert not first.passed
    assert second.passed
    assert len(second.results) == len(CHECKS)


def test_an_error_in_a_check_is_told_as_it_is_and_the_next_check_gets_a_process(
    two: matrix.Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Crew.ask
    remembered: list[str] = []

    def ask_in_vain(self: Crew, child: Any, verb: str, body: Any = None, **options: Any) -> Any:
        reply = ask(self, child, verb, body, **options)
        remembered.extend([verb] if verb == "remember" else [])
        is_vain = body == {"check": "known_cases"} or (verb == "remember" and len(remembered) == 2)
        return ChildError(type="OSError", message="no space left") if is_vain else reply

    monkeypatch.setattr(Crew, "ask", ask_in_vain)
    first, second = (
        {result.check: result for result in checks.results} for checks in runner.check_behaviour(two, runner.Silent())
    )
    assert first["known_cases"].text == "it ended in an error: no space left"
    assert first["round_trip"].status == "passed"
    said = "there are no answers to compare with: it ended in an error: no space left"
    assert (second["round_trip"].status, second["round_trip"].text) == ("failed", said)


def test_the_copy_of_a_variant_is_gone_when_its_checks_are_made(
    two: matrix.Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    for checks in runner.check_behaviour(two, runner.Silent()):
        assert checks.passed
        assert not [*place.glob("*/copy/*"), *place.glob("*/outputs/*")]


@pytest.mark.slow
def test_a_model_of_a_fixed_batch_is_checked_in_batches_of_its_own_with_the_users_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    helper = onnx.helper
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [8, 3]) for name in ("x", "file")]
    graph = helper.make_graph([helper.make_node("Sin", ["x"], ["file"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), "m.onnx")
    samples = np.random.default_rng(0).random((19, 3), dtype=np.float32)
    np.savez("own.npz", x=samples)
    np.savez("known.npz", x=samples, labels=samples.argmax(axis=1))
    (checks,) = runner.check_behaviour(
        matrix.matrix_for_model("m.onnx", inputs="own.npz"), runner.Silent(), variants=["onnx"], cases=Path("known.npz")
    )
    assert checks.passed, checks
    told = {result.check: result for result in checks.results}
    assert told["known_cases"].text == "all 19 known cases come out right"
    assert told["batch_invariance"].status == "skipped"
    assert told["round_trip"].status == "passed"
