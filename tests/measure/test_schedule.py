"""How many calls a block has, who goes first, and how often the data is looked at."""

from __future__ import annotations

import pytest

from bench.core.cell import Measurement
from bench.measure.loop import SETTLING_CALLS
from bench.measure.schedule import block_orders, calls_per_block, look_confidence, looks


@pytest.mark.parametrize(
    ("call_ms", "calls"),
    [
        (0.0001, 5000),  # as many as memory and patience allow
        (0.5, 100 + 3),  # 50 ms
        (5, 20 + 3),  # 20 calls, 100 ms
        (100, 17 + 3),  # 2 s, settling calls included
        (1000, 3 + 3),  # never fewer than three that count
        (0, 5000),
    ],
)
def test_a_block_lasts_long_enough_but_not_too_long(call_ms: float, calls: int) -> None:
    assert calls_per_block(call_ms * 1e6, Measurement()) == calls


@pytest.mark.parametrize(
    ("call_ms", "inputs", "steady"),
    [
        (0.5, 8, 104),  # 100 would do for one input
        (5, 8, 24),
        (5, 5, 20),
        (100, 8, 24),  # beyond 2 s: a whole pass comes first
        (1000, 8, 8),
        (0.0001, 8, 4992),  # as many whole passes as memory and patience allow
        (0.0001, 4096, 4096),
    ],
)
def test_a_block_that_goes_through_several_inputs_counts_each_equally_often(
    call_ms: float, inputs: int, steady: int
) -> None:
    assert calls_per_block(call_ms * 1e6, Measurement(), inputs=inputs) == steady + SETTLING_CALLS


@pytest.mark.parametrize("cells", [1, 2, 3, 7])
def test_every_block_visits_all_cells_and_positions_balance(cells: int) -> None:
    orders = block_orders(cells, 10, seed=3)
    assert len(orders) == 10
    assert all(sorted(order) == list(range(cells)) for order in orders)
    for cell in range(cells):
        positions = [order.index(cell) for order in orders]
        assert sum(positions) == 10 * (cells - 1) / 2


def test_who_goes_first_is_random_and_repeats_with_the_seed() -> None:
    firsts = {block_orders(2, 2, seed)[0] for seed in range(20)}
    assert firsts == {(0, 1), (1, 0)}
    assert block_orders(4, 9, seed=5) == block_orders(4, 9, seed=5)
    assert block_orders(4, 9, seed=5) != block_orders(4, 9, seed=6)


def test_a_linear_drift_of_the_machine_cancels_between_cells() -> None:
    speeds = {0: 0, 1: 0, 2: 0}
    clock = 0
    for order in block_orders(3, 10, seed=1):
        for cell in order:
            speeds[cell] += clock  # the machine gets slower by one unit with each block
            clock += 1
    assert len(set(speeds.values())) == 1


@pytest.mark.parametrize(
    ("rounds", "max_rounds", "expected"),
    [(5, 20, (5, 10, 20)), (5, 5, (5,)), (5, 8, (5, 8)), (1, 1, (1,)), (2, 20, (2, 6, 20)), (5, 3, (5,))],
)
def test_looks_double_the_rounds_and_are_at_most_three(rounds: int, max_rounds: int, expected: tuple[int, ...]) -> None:
    assert looks(Measurement(rounds=rounds, max_rounds=max_rounds)) == expected


@pytest.mark.parametrize("planned", [1, 2, 3])
def test_all_looks_together_stay_within_five_percent(planned: int) -> None:
    assert planned * (1 - look_confidence(planned)) <= 0.05 + 1e-12
