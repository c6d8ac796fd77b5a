"""Blocks made of given latencies, and the recorded A/A runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.block import Block, Counters
from bench.core.cell import Measurement
from bench.measure.schedule import look_confidence, looks

_TRACES = Path(__file__).parents[1] / "data" / "aa"


@pytest.fixture
def block_of() -> Callable[..., Block]:
    """A block of round `number`; the wall time is the sum of the latencies unless given, counters by name."""

    def make(
        latencies_ns: Sequence[float],
        *,
        number: int = 0,
        index: int = 0,
        settling: int = 0,
        wall_ns: int = 0,
        **counts: int,
    ) -> Block:
        latencies = tuple(int(value) for value in latencies_ns)
        return Block(
            round=number,
            index=index,
            latencies_ns=latencies,
            settling_calls=settling,
            wall_ns=wall_ns or sum(latencies),
            counters=Counters(**counts),
        )

    return make


@pytest.fixture
def rounds_of(block_of: Callable[..., Block]) -> Callable[..., list[list[Block]]]:
    """Rounds of blocks from an array[round, block, call] of latencies in ns."""

    def make(latencies_ns: Any, **counts: int) -> list[list[Block]]:
        return [
            [block_of(calls, number=number, index=index, **counts) for index, calls in enumerate(blocks)]
            for number, blocks in enumerate(np.asarray(latencies_ns))
        ]

    return make


@pytest.fixture(scope="session")
def traces() -> Callable[[str], Any]:
    """latency_ns[process, block, side, call] of a recorded A/A run, its first 10 blocks without settling calls."""

    def load(name: str) -> Any:
        with np.load(_TRACES / f"{name}.npz", allow_pickle=False) as file:
            return file["latency_ns"][:, :10, :, 3:].astype(np.float64)

    return load


@pytest.fixture
def until_decided() -> Callable[[Callable[[int, float], str]], str]:
    """The verdict that the planned looks end with, from a function of rounds and confidence."""
    planned = looks(Measurement())

    def run(look_at: Callable[[int, float], str]) -> str:
        verdict = "inconclusive"
        for rounds in planned:
            verdict = look_at(rounds, look_confidence(len(planned)))
            if verdict != "inconclusive":
                break
        return verdict

    return run
