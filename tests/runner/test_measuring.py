"""How many rounds each variant gets, on invented rounds: only the undecided go on, the budget ends what it may."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.core.block import Block, Counters
from bench.core.cell import Measurement
from bench.core.clock import FakeClock
from bench.core.results import Outcome
from bench.runner import measuring
from bench.runner.measuring import Budget, MeasuredPart, PartMeasurer
from bench.runner.prepared import Prepared, RoundOfCell
from bench.runner.timeline import Timeline
from tests.runner.prepared_cells import prepared

ROUND_S = 10.0
REFERENCE = prepared("reference")
SLOWER = prepared("slower")
EQUAL = prepared("equal")
JITTERY = prepared("jittery")
#: variant -> (time of a call over the reference's, spread from process to process)
TRUTH = {"reference": (1.0, 0.0), "slower": (3.0, 0.001), "equal": (1.0, 0.001), "jittery": (1.01, 0.3)}
MEASUREMENT = Measurement(rounds=3, max_rounds=12, blocks=4)

Measure = Callable[..., MeasuredPart]


class FakeRounds:
    """Stands in for `Round`: rounds that take ten seconds each and know their results; notes who took part."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seen: list[tuple[int, bool, list[str]]] = []
        self.dies: dict[tuple[str, int], Outcome] = {}

    def __call__(self, *_: Any, index: int, check: bool) -> FakeRounds:
        self.index, self.check = index, check
        return self

    def run(self, cells: Sequence[Prepared], between_blocks: Callable[[], None]) -> list[RoundOfCell]:
        self.seen.append((self.index, self.check, [each.cell.variant.name for each in cells]))
        self.clock.sleep_s(ROUND_S)
        between_blocks()
        return [self._result(each.cell.variant.name) for each in cells]

    def _result(self, name: str) -> RoundOfCell:
        outcome = self.dies.get((name, self.index))
        blocks = () if outcome else tuple(_block(name, self.index, number) for number in range(MEASUREMENT.blocks))
        return RoundOfCell(round=self.index, outcome=outcome, blocks=blocks)

    def of(self, name: str) -> list[int]:
        """Numbers of the rounds that a variant took part in."""
        return [index for index, _, names in self.seen if name in names]


def _block(name: str, round_index: int, index: int) -> Block:
    factor, spread = TRUTH[name]
    process = math.exp(random.Random(f"{name} {round_index}").gauss(0.0, spread))
    latency_ns = round(1_000_000 * factor * process)
    return Block(
        round=round_index,
        index=index,
        latencies_ns=(latency_ns,) * 20,
        settling_calls=2,
        wall_ns=20 * latency_ns,
        counters=Counters(),
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rounds(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> FakeRounds:
    fake = FakeRounds(clock)
    monkeypatch.setattr(measuring, "Round", fake)
    return fake


@pytest.fixture
def measure(clock: FakeClock, rounds: FakeRounds, tmp_path: Path) -> Measure:
    def measure(*cells: Prepared, ends_s: float | None = None, seen: list[int] | None = None) -> MeasuredPart:
        measurer = PartMeasurer(None, tmp_path, MEASUREMENT, Timeline())  # type: ignore[arg-type]  no round asks it
        budget = Budget(ends_s=ends_s, now_s=lambda: clock.now_ns() / 1e9)
        noted = [] if seen is None else seen
        return measurer.measure(cells, REFERENCE.cell.id, budget, noted.append)

    return measure


def verdicts(part: MeasuredPart) -> dict[str, tuple[str, int]]:
    """Variant -> verdict and number of looks."""
    found = {run.prepared.cell.variant.name: part.comparisons.get(run.prepared.cell.id) for run in part.runs}
    return {name: (each.verdict, each.looks) for name, each in found.items() if each is not None}


def test_what_is_decided_at_the_first_look_gets_no_further_round(measure: Measure, rounds: FakeRounds) -> None:
    part = measure(REFERENCE, SLOWER, EQUAL)
    assert verdicts(part) == {"slower": ("changed", 1), "equal": ("same", 1)}
    assert rounds.of("slower") == rounds.of("equal") == rounds.of("reference") == [0, 1, 2]


def test_only_the_undecided_go_on_to_the_last_round_always_beside_their_reference(
    measure: Measure, rounds: FakeRounds
) -> None:
    part = measure(REFERENCE, SLOWER, JITTERY, EQUAL)
    assert rounds.of("slower") == rounds.of("equal") == [0, 1, 2]
    assert rounds.of("jittery") == rounds.of("reference") == list(range(12))
    assert {len(run.rounds) for run in part.runs} == {3, 12}
    found = verdicts(part)
    assert found["slower"] == ("changed", 1)
    assert found["jittery"] == ("inconclusive", 3)


def test_outputs_are_checked_in_the_first_round_only(measure: Measure, rounds: FakeRounds) -> None:
    measure(REFERENCE, JITTERY)
    assert [index for index, check, _ in rounds.seen if check] == [0]


def test_whoever_watches_hears_the_number_of_the_round(measure: Measure) -> None:
    heard: list[int] = []
    measure(REFERENCE, JITTERY, seen=heard)
    assert heard == list(range(12))


@pytest.mark.parametrize("ends_s", [0.0, 0.001, 3 * ROUND_S - 1])
def test_the_first_look_is_paid_for_however_small_the_budget_is(
    measure: Measure, rounds: FakeRounds, ends_s: float
) -> None:
    part = measure(REFERENCE, JITTERY, ends_s=ends_s)
    assert rounds.of("jittery") == [0, 1, 2]
    assert verdicts(part) == {"jittery": ("inconclusive", 1)}


def test_no_round_is_begun_that_would_not_end_within_the_budget(measure: Measure, rounds: FakeRounds) -> None:
    part = measure(REFERENCE, JITTERY, ends_s=5 * ROUND_S + 1)
    assert rounds.of("jittery") == [0, 1, 2, 3, 4]
    assert verdicts(part) == {"jittery": ("inconclusive", 2)}, "what was measured within the budget is looked at"


def test_no_round_is_begun_after_the_first_look_that_would_not_end_within_the_budget(
    measure: Measure, rounds: FakeRounds
) -> None:
    measure(REFERENCE, JITTERY, ends_s=4 * ROUND_S - 1)
    assert rounds.of("jittery") == [0, 1, 2]


def test_a_budget_that_suffices_changes_nothing(measure: Measure, rounds: FakeRounds) -> None:
    measure(REFERENCE, JITTERY, ends_s=12 * ROUND_S)
    assert rounds.of("jittery") == list(range(12))


def test_a_variant_that_dies_leaves_and_the_others_go_on(measure: Measure, rounds: FakeRounds) -> None:
    rounds.dies["slower", 1] = Outcome(status="crashed")
    part = measure(REFERENCE, SLOWER, JITTERY)
    assert rounds.of("slower") == [0, 1]
    assert rounds.of("jittery") == list(range(12))
    assert {run.outcome.status for run in part.runs if run.outcome} == {"crashed"}


def test_without_their_reference_variants_are_not_measured_further(measure: Measure, rounds: FakeRounds) -> None:
    rounds.dies["reference", 4] = Outcome(status="crashed")
    part = measure(REFERENCE, JITTERY)
    assert rounds.of("jittery") == [0, 1, 2, 3, 4, 5], "the look that was under way is finished"
    assert verdicts(part)["jittery"][1] == 2


def test_a_reference_that_never_ran_gives_no_comparison_but_the_others_their_rounds(
    measure: Measure, rounds: FakeRounds
) -> None:
    rounds.dies["reference", 0] = Outcome(status="crashed")
    part = measure(REFERENCE, SLOWER)
    assert part.comparisons == {}
    assert rounds.of("slower") == [0, 1, 2]


def test_a_reference_alone_has_its_rounds_and_nothing_to_decide(measure: Measure, rounds: FakeRounds) -> None:
    part = measure(REFERENCE)
    assert part.comparisons == {}
    assert rounds.of("reference") == [0, 1, 2]
