"""The child that checks behaviour hands its session's answers on as data, in batches that the model takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.adapters import null
from bench.core.artifact import Artifact, TensorSpec
from bench.core.cell import Cell, ModelRef, Variant
from bench.core.errors import TargetError
from bench.core.job import BehaviourJob
from bench.worker.behaviour import BehaviourPerformer
from bench.zoo.inputs import write_pool


class FixedSession:
    """A classifier of exactly eight samples that answers in words and numbers, under a name that numpy uses itself."""

    versions: Mapping[str, str] = {}
    provider = "none"

    def __init__(self, artifact: Artifact) -> None:
        self.inputs, self.outputs = artifact.inputs, artifact.outputs

    def run(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(batch["x"]) != 8:
            raise TargetError(f"8 samples are expected, not {len(batch['x'])}")
        return {
            "file": batch["x"].copy(),
            "label": np.array(["cat" if value > 0 else "a dog" for value in batch["x"][:, 0]], dtype=object),
        }

    def bind(self, batch: Mapping[str, Any]) -> Callable[[], Any]:
        return lambda: [self.run(batch)["file"]]

    def close(self) -> None:
        pass


class FixedAdapter:
    """Opens the session above, whatever the artifact."""

    Options = null.Options

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> FixedSession:
        return FixedSession(artifact)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BehaviourJob:
    monkeypatch.setattr(null, "ADAPTER", FixedAdapter())
    rng = np.random.default_rng(0)
    pool = [{"x": rng.normal(size=(8, 2)).astype(np.float32)} for _ in range(2)]
    write_pool(tmp_path / "pool.npz", pool)
    known = rng.normal(size=(11, 2)).astype(np.float32)
    np.savez(tmp_path / "known.npz", x=known, labels=known.argmax(axis=1))
    return BehaviourJob(
        cell=Cell(
            model=ModelRef(name="m", kind="path", location="m.json", format="null"),
            variant=Variant(name="v", source="null", adapter="null"),
        ),
        artifact=Artifact(
            id="ab" * 32,
            format="null",
            path="m.json",
            size_bytes=2,
            inputs=(TensorSpec(name="x", dtype="float32", shape=(8, 2)),),
            outputs=(
                TensorSpec(name="file", dtype="float32", shape=(8, 2)),
                TensorSpec(name="label", dtype="object", shape=(8,)),
            ),
        ),
        pool_path=str(tmp_path / "pool.npz"),
        before_path=str(tmp_path / "before.npz"),
        tolerance=1e-3,
        cases_path=str(tmp_path / "known.npz"),
    )


def asked(performer: BehaviourPerformer, verb: str, **body: str) -> Mapping[str, Any]:
    return performer.ask(verb, body, lambda phase: None)


def test_answers_of_any_name_and_of_texts_are_remembered_for_another_process(job: BehaviourJob) -> None:
    first, second = BehaviourPerformer(job), BehaviourPerformer(job)
    asked(first, "open")
    asked(first, "remember")
    asked(second, "open")
    assert asked(second, "check", check="round_trip")["status"] == "passed"


def test_equal_texts_are_equal_answers(job: BehaviourJob) -> None:
    performer = BehaviourPerformer(job)
    asked(performer, "open")
    assert asked(performer, "check", check="determinism")["status"] == "passed"


def test_known_cases_are_given_in_batches_that_a_model_of_a_fixed_batch_takes(job: BehaviourJob) -> None:
    performer = BehaviourPerformer(job)
    asked(performer, "open")
    told = asked(performer, "check", check="known_cases")
    assert (told["status"], told["text"]) == ("passed", "all 11 known cases come out right")
    assert asked(performer, "check", check="batch_invariance")["status"] == "skipped"
