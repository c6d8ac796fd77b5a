"""Which inputs a worker that measures calls, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.adapters.null import INPUTS, OUTPUTS, NullSession
from bench.core.job import MeasureJob
from bench.measure.loop import SETTLING_CALLS
from bench.worker.measuring import MeasurePerformer
from bench.zoo.inputs import write_pool
from tests.runner.prepared_cells import prepared

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the inputs that the target was called with."""
    numbers: list[int] = []
    bind = NullSession.bind

    def bind_and_note(session: NullSession, batch: Any) -> Callable[[], Any]:
        call = bind(session, batch)

        def note_and_call() -> Any:
            numbers.append(int(batch["input"][0, 0]))
            return call()

        return note_and_call

    monkeypatch.setattr(NullSession, "bind", bind_and_note)
    return numbers


@pytest.fixture
def opened(tmp_path: Path, seen: list[int]) -> Callable[[int], Ask]:
    """A worker that has opened a null model with a pool of so many inputs."""

    def opened(inputs: int) -> Ask:
        (tmp_path / "model.json").write_text("{}")
        write_pool(tmp_path / "pool.npz", [{"input": np.full((1, 4), n, dtype=np.float32)} for n in range(inputs)])
        cell = prepared("variant")
        artifact = replace(cell.artifact, path=str(tmp_path / "model.json"), inputs=INPUTS, outputs=OUTPUTS)
        job = MeasureJob(cell=cell.cell, artifact=artifact, round=0, pool_path=str(tmp_path / "pool.npz"))
        worker = MeasurePerformer(job)

        def ask(verb: str, **body: Any) -> dict[str, Any]:
            return worker.ask(verb, body, lambda phase: None)

        assert ask("open")["inputs"] == inputs
        seen.clear()
        return ask

    return opened


@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8])
def test_every_block_that_goes_through_the_inputs_counts_from_the_first_one_on(
    opened: Callable[[int], Ask], seen: list[int], inputs: int
) -> None:
    ask = opened(inputs)
    for _ in range(2):
        ask("block", calls=SETTLING_CALLS + 2 * inputs, rotate=True)
        assert seen[SETTLING_CALLS:] == [*range(inputs)] * 2
        assert seen[:SETTLING_CALLS] == [number % inputs for number in range(-SETTLING_CALLS, 0)]
        seen.clear()


def test_a_block_repeats_the_first_input_where_all_are_alike(opened: Callable[[int], Ask], seen: list[int]) -> None:
    opened(4)("block", calls=9, rotate=False)
    assert seen == [0] * 9


def test_first_visits_are_one_call_of_each_other_input_after_settling_on_the_first(
    opened: Callable[[int], Ask], seen: list[int]
) -> None:
    answer = opened(4)("distinct")
    assert seen == [0] * SETTLING_CALLS + [1, 2, 3]
    assert len(answer["latencies_ns"]) == 3
