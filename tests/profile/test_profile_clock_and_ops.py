"""Two clocks made one by the calls that both noted, and operators summed over the quiet calls."""

from __future__ import annotations

from typing import cast

import pytest

from bench.core.contracts import Session
from bench.core.errors import TargetError
from bench.profile.clock import anchor
from bench.profile.host import Span, Watched
from bench.profile.ops import Executed, by_call, innermost, op_events, op_profile

_AHEAD_NS = 1_000_000


def spans(*bounds: tuple[int, int]) -> list[Span]:
    return [Span(start, end) for start, end in bounds]


def theirs(ours: list[Span], *, before: int, after: int) -> list[Span]:
    """The runtime's notes of the same calls, on a clock that is ahead, each a little shorter."""
    return [Span(span.start_ns + before + _AHEAD_NS, span.end_ns - after + _AHEAD_NS) for span in ours]


def executed(name: str, start: int, end: int, kernel: str = "k") -> Executed:
    return Executed(name=name, kind=name, span=Span(start, end), track="t", kernel=kernel)


def watched(*durations: int) -> Watched:
    calls = tuple(Span(1000 * number, 1000 * number + duration) for number, duration in enumerate(durations))
    return Watched(session=cast("Session", None), calls=calls, followed=calls[-1], events=())


def test_the_offset_is_the_middle_of_what_the_calls_allow_and_the_residual_half_of_it() -> None:
    ours = spans((0, 100), (200, 320))
    found = anchor("a clock", ours, theirs(ours, before=10, after=4))
    assert (found.offset_ns, found.residual_ns) == (-_AHEAD_NS - 3, 7)
    assert "each of 2 calls" in found.method


def test_one_tight_call_bounds_the_offset_of_all() -> None:
    ours = spans((0, 100), (200, 320))
    loose, tight = theirs(ours[:1], before=30, after=30), theirs(ours[1:], before=1, after=1)
    found = anchor("a clock", ours, [*loose, *tight])
    assert (found.offset_ns, found.residual_ns) == (-_AHEAD_NS, 1)


def test_clocks_that_drift_are_told_with_by_how_much() -> None:
    ours = spans((0, 100), (200, 300))
    found = anchor("a clock", ours, spans((0, 100), (260, 360)))
    assert (found.offset_ns, found.residual_ns) == (-30, 30)
    assert "drift" in found.method


def test_calls_that_one_side_did_not_note_are_an_error() -> None:
    with pytest.raises(TargetError, match="noted 1 calls of 2"):
        anchor("a clock", spans((0, 1), (2, 3)), spans((0, 1)))


def test_operators_go_to_the_call_in_which_they_began() -> None:
    ops = [executed("late", 250, 260), executed("between", 150, 160), executed("early", 10, 20), executed("x", 0, 5)]
    shares = by_call(ops, spans((0, 100), (200, 300)))
    assert [[op.name for op in share] for share in shares] == [["x", "early"], ["late"]]


def test_operators_around_others_are_left_out() -> None:
    ops = [executed("loop", 0, 50), executed("body", 5, 20), executed("body", 30, 45), executed("after", 50, 60)]
    assert [op.name for op in innermost(ops)] == ["body", "body", "after"]


def test_where_times_are_coarse_only_operators_that_can_hold_others_are_left_out() -> None:
    ops = [executed("short", 10, 10), executed("long", 10, 12), executed("loop", 20, 30), executed("body", 21, 31)]
    assert sorted(op.name for op in innermost(ops, {"loop"})) == ["body", "long", "short"]


def test_only_the_faster_half_of_the_calls_counts() -> None:
    shares = [[executed("a", 0, 10)], [executed("a", 0, 700)], [executed("a", 0, 30), executed("a", 40, 50)]]
    profile = op_profile("r", watched(100, 900, 120), shares)
    (op,) = profile.ops
    assert profile.wall_ns_per_run == 110
    assert (op.calls_per_run, op.ns_per_run, profile.ops_ns_per_run) == (1.5, 25, 25)


def test_calls_that_other_work_disturbed_are_told() -> None:
    assert op_profile("r", watched(100, 100, 900), [[], [], []]).notes == ()
    (note,) = op_profile("r", watched(100, 700, 900), [[], [], []]).notes
    assert "other work disturbed it" in note


def test_the_longest_operator_comes_first_and_kernels_are_kept_apart() -> None:
    ops = [executed("a", 0, 10, kernel="slow"), executed("a", 20, 25, kernel="fast"), executed("b", 30, 90)]
    profile = op_profile("r", watched(100), [ops])
    assert [(op.name, op.kernel, op.ns_per_run) for op in profile.ops] == [
        ("b", "k", 60),
        ("a", "slow", 10),
        ("a", "fast", 5),
    ]


def test_events_are_moved_onto_the_hosts_clock() -> None:
    ours = spans((0, 100))
    found = anchor("a clock", ours, theirs(ours, before=0, after=0))
    (event,) = op_events([executed("a", _AHEAD_NS + 5, _AHEAD_NS + 9)], found)
    assert (event.start_ns, event.duration_ns, event.category, dict(event.args)) == (
        5,
        4,
        "op",
        {"op": "a", "kernel": "k"},
    )
