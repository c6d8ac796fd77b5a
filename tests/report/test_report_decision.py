from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.core.record import Record
from bench.core.results import Accuracy, Comparison, Estimate, Interval, Status
from bench.report.decision import Decision, decide
from bench.report.headline import headline
from bench.report.reading import Section
from bench.report.row import Row, accuracy_change
from tests.examples.records import VARIANTS, make_cell, make_record

_REFERENCE = make_cell()


def row(
    name: str = "",
    ratio: float = 1.0,
    *,
    reach: float = 0.01,
    status: Status = "ok",
    verdict: str = "changed",
    lost: int | None = None,
    cosine: float = 1.0,
    size: int = 1_000_000,
    memory: int = 100_000_000,
) -> Row:
    """The reference where no name is given; `lost` of 1000 labelled samples, None for no labels."""
    cell = make_cell(variant=replace(VARIANTS[1], name=name)) if name else _REFERENCE
    record = make_record(cell, ratio=ratio, status=status, reference=_REFERENCE)
    if record.fidelity is not None:
        output = replace(record.fidelity.outputs[0], cosine=cosine)
        record = replace(record, fidelity=replace(record.fidelity, outputs=(output,)))
        record = replace(record, costs=replace(record.costs, artifact_size_bytes=size, peak_memory_bytes=memory))
        record = replace(record, accuracy=None if lost is None else _accuracy(lost))
        record = replace(record, comparison=_comparison(ratio, reach, verdict) if name else None)
    return Row(record=record, tolerance=None, has_sound_reference=True)


def _accuracy(lost: int) -> Accuracy:
    interval = Interval(low=0.96, high=0.99, confidence=0.95)
    return Accuracy(
        correct=981 - lost,
        total=1000,
        ratio=Estimate(value=(981 - lost) / 1000, interval=interval),
        reference_only_right=max(lost, 0),
        variant_only_right=max(-lost, 0),
        p_value=0.25,
    )


def _comparison(ratio: float, reach: float, verdict: str) -> Comparison:
    interval = Interval(low=ratio * (1 - reach), high=ratio * (1 + reach), confidence=0.985)
    estimate = Estimate(value=ratio, interval=interval)
    return Comparison(reference_id=_REFERENCE.id, ratio=estimate, p50_ratio=estimate, verdict=verdict, looks=1)  # type: ignore[arg-type]


def names(decision: Decision) -> tuple[str, ...]:
    rows = (decision.taken, *decision.rivals)
    return tuple(each.variant for each in rows if each is not None)


def section(rows: Sequence[Row]) -> Section:
    return Section(model="digits", settings="batch 1, 1 thread", rows=tuple(rows), is_only_one_of_model=True)


def test_the_fastest_that_is_ok_is_shipped() -> None:
    decision = decide([row(), row("wrong", 0.1, status="invalid"), row("good", 0.5), row("better", 0.3)])

    assert names(decision) == ("better",)


@pytest.mark.parametrize("verdict", ["same", "inconclusive"])
def test_the_reference_stays_where_nothing_is_decidedly_faster(verdict: str) -> None:
    decision = decide([row(), row("maybe", 0.8, verdict=verdict), row("slow", 1.4)])

    assert decision.ship is None
    assert names(decision) == ("keras",)


def test_of_those_whose_intervals_reach_the_fastest_the_least_loss_wins_and_the_others_are_named() -> None:
    rows = [row(lost=0), row("quick", 0.30, lost=9), row("close", 0.305, lost=2), row("far", 0.4, lost=0)]

    assert names(decide(rows)) == ("close", "quick")


def test_of_equal_losses_the_smallest_file_wins_then_the_faster_one() -> None:
    large, small = row("large", 0.30, lost=1), row("small", 0.302, lost=1, size=400_000)
    twin = row("twin", 0.301, lost=1, size=400_000)

    assert names(decide([row(lost=0), large, small]))[0] == "small"
    assert names(decide([row(lost=0), large, small, twin])) == ("twin", "large", "small")


def test_without_labels_the_cosine_decides_as_far_as_it_is_shown() -> None:
    near, far = row("near", 0.302, cosine=0.9998), row("far", 0.30, cosine=0.9990)
    noisy = row("noisy", 0.303, cosine=0.99999999, size=900_000)
    exact = row("exact", 0.304, cosine=1.0)

    assert names(decide([row(), near, far]))[0] == "near"
    assert names(decide([row(), noisy, exact]))[0] == "noisy", "the eighth digit is no loss, so the size decides"


def test_a_variant_that_was_not_judged_by_labels_is_not_preferred_to_one_that_was() -> None:
    assert names(decide([row(lost=0), row("judged", 0.302, lost=5), row("unknown", 0.30)]))[0] == "judged"


def test_the_answer_does_not_depend_on_the_order_of_rows() -> None:
    rows = [row(lost=0), *(row(name, 0.3, lost=1) for name in "abcd"), row("e", 0.9, size=9, memory=9, lost=3)]
    source, seen = random.Random(1), set()
    for _ in range(20):
        source.shuffle(rows)
        decision = decide(rows)
        needy = (decision.smallest, decision.least_memory)
        seen.add((names(decision), *(each.variant for each in needy if each is not None)))

    assert seen == {(("a", "b", "c", "d"), "e", "e")}


def test_smaller_and_leaner_rows_are_named_only_where_they_are_clearly_so_and_ok() -> None:
    shipped = row("shipped", 0.3)
    tiny = row("tiny", 0.8, size=200_000, memory=99_000_000)
    broken = row("broken", 0.2, status="invalid", size=10, memory=10)
    lean = row("lean", 1.5, memory=40_000_000)

    decision = decide([row(), shipped, tiny, broken, lean])
    assert (decision.smallest, decision.least_memory) == (tiny, lean)
    alone = decide([row(), shipped, row("alike", 0.7, size=970_000)])
    assert (alone.smallest, alone.least_memory) == (None, None)


def test_nothing_is_taken_against_a_reference_that_is_missing_or_not_ok() -> None:
    fast = replace(row("fast", 0.3), has_sound_reference=False)

    for rows in ([fast], [row(status="crashed"), fast]):
        decision = decide(rows)
        assert (decision.taken, decision.ship, decision.smallest) == (None, None, None)
        assert headline(section(rows)).take == "no ranking"


def test_the_sentence_has_speed_size_and_accuracy_with_intervals() -> None:
    rows = [row(lost=0, size=3_800_000), row("int8", 0.4, lost=1, memory=50_000_000)]

    said = headline(section(rows))

    assert said.sentence == (
        "ship int8: 2.50x as fast as keras [2.48–2.53], 3.8x smaller, "
        "accuracy 98.1 % → 98.0 % (-0.1 points [-0.4, +0.2], McNemar p 0.25)"
    )
    assert (said.take, said.speed, said.size) == ("SHIP int8", "2.50x as fast [2.48–2.53]", "3.8x smaller")
    assert said.answers == "accuracy 98.1 % → 98.0 %, -0.1 points [-0.4, +0.2]"
    assert said.memory == "100 MB → 50 MB"
    assert not said.is_less_accurate


def test_a_loss_that_is_no_chance_is_marked() -> None:
    assert headline(section([row(lost=0), row("int8", 0.4, lost=15)])).is_less_accurate


def test_without_labels_the_sentence_says_what_it_was_judged_by() -> None:
    said = headline(section([row(), row("int8", 0.4, cosine=0.9996, size=2_000_000)]))

    assert said.sentence.endswith("2x larger, cosine 0.9996 (no labels: judged by outputs only)")
    assert said.also == ("smallest: keras (1 MB, the reference)",)


def test_the_reference_that_stays_is_said_with_the_closest_and_what_is_smaller() -> None:
    rows = [row(lost=0), row("int8", 0.97, verdict="inconclusive", lost=12, size=250_000, memory=80_000_000)]

    said = headline(section(rows))

    assert said.take == "KEEP keras"
    assert said.sentence == (
        "keep keras: nothing is decidedly faster by 5 %; closest is int8, 1.03x as fast [1.02–1.04], inconclusive"
    )
    assert said.also == (
        "smallest and least memory: int8 (250 kB, 80 MB of memory, 1.03x as fast, inconclusive, -1.2 points)",
    )


def test_the_interval_of_the_change_holds_it_and_narrows_with_samples() -> None:
    few = Accuracy(correct=9, total=10, ratio=Estimate(value=0.9), reference_only_right=1)
    many = replace(few, correct=900, total=1000, reference_only_right=100)

    for accuracy in (few, many):
        change = accuracy_change(accuracy)
        assert change.value == pytest.approx(-0.1)
        assert change.interval is not None
        assert change.interval.low <= -0.1 <= change.interval.high
    wide, narrow = (accuracy_change(each).interval for each in (few, many))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_size_and_time_of_building_are_known_where_only_the_artifact_is() -> None:
    made = make_record(make_cell(variant=VARIANTS[2]))
    skipped: Record = replace(make_record(make_cell(variant=VARIANTS[2]), status="skipped"), artifact=made.artifact)

    found = Row(record=skipped, tolerance=None, has_sound_reference=True)

    assert (found.size_bytes, found.build_s) == (1_100_000, 9.75)


def test_a_real_gain_below_five_percent_is_not_worth_another_build() -> None:
    decision = decide([row(), row("barely", 0.976), row("slower", 1.2, verdict="changed")])

    assert decision.ship is None
    assert "by 5 %" in headline(section([row(), row("barely", 0.976)])).sentence
