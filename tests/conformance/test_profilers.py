"""What every profiler promises, checked on the smallest models of the adapters that it looks into."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise

import msgspec
import pytest

from bench.core import plugins
from bench.core.profiling import Profile, TraceEvent
from tests.conformance.adapter_cases import CASES
from tests.conformance.isolated import call_isolated
from tests.conformance.profiler_cases import PROFILER_CASES, RUNS, look

_TIMEOUT_S = 240
#: Runtimes tell times in whole microseconds at worst.
_CLOCK_GRAIN_NS = 1000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(_TIMEOUT_S)]

Look = Callable[[str], tuple[Profile, list[str]]]

all_cases = pytest.mark.parametrize("name", PROFILER_CASES)
with_operators = pytest.mark.parametrize("name", [name for name, case in PROFILER_CASES.items() if case.operators])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """The profile of a case and the files beside it: looked at once, judged by many tests."""

    @cache
    def look_once(name: str) -> tuple[Profile, list[str]]:
        case = PROFILER_CASES[name]
        directory = tmp_path_factory.mktemp(name)
        built = call_isolated(
            "tests.conformance.adapter_checks:build",
            directory=directory,
            timeout_s=_TIMEOUT_S / 2,
            names=[case.model],
        )
        seen = call_isolated(
            f"{look.__module__}:look",
            directory=directory,
            timeout_s=_TIMEOUT_S / 2,
            profiler=case.profiler,
            model=case.model,
            path=built[case.model],
        )
        profile = msgspec.convert(seen["profile"], Profile)
        assert profile.pid == seen["pid"]
        return profile, seen["files"]

    return look_once


def test_every_profiler_has_a_case_for_every_adapter_it_looks_into() -> None:
    promised = {(spec.name, adapter) for spec in plugins.table("profilers").values() for adapter in spec.accepts}
    tried = {(case.profiler, CASES[case.model].adapter) for case in PROFILER_CASES.values()}
    assert promised <= tried
    assert {case.profiler for case in PROFILER_CASES.values()} == set(plugins.table("profilers"))


@all_cases
def test_it_leaves_the_files_that_it_names_and_no_others(found: Look, name: str) -> None:
    profile, files = found(name)
    assert sorted(profile.files) == files


@all_cases
def test_it_notes_the_phases_and_each_call_of_its_caller_in_order(found: Look, name: str) -> None:
    profile, _ = found(name)
    assert [event.name for event in profile.events if event.category == "phase"] == ["open", "bind", "warm-up"]
    calls = _calls(profile)
    assert len(calls) == RUNS + 1
    assert all(before.end_ns <= after.start_ns for before, after in pairwise(calls))


@all_cases
def test_it_yields_what_it_promises(found: Look, name: str) -> None:
    profile, _ = found(name)
    case = PROFILER_CASES[name]
    assert (profile.ops is not None) == bool(case.operators)
    assert bool(profile.functions) == case.functions
    assert bool(profile.lines) == case.lines
    assert all(each.calls > 0 and each.own_ns <= each.total_ns for each in profile.functions)
    assert all(each.hits > 0 and each.text for each in profile.lines)


@with_operators
def test_it_finds_the_operators_of_the_model_in_every_call(found: Look, name: str) -> None:
    ops = found(name)[0].ops
    assert ops is not None
    for kind in PROFILER_CASES[name].operators:
        fitting = [op for op in ops.ops if fnmatchcase(op.kind, kind)]
        assert fitting, f"{kind} is not among {[op.kind for op in ops.ops]}"
        assert sum(op.calls_per_run for op in fitting) >= 1
        assert all(op.kernel for op in fitting)


@with_operators
def test_no_operator_is_inside_another(found: Look, name: str) -> None:
    ops = found(name)[0].ops
    assert ops is not None
    assert not {op.kind for op in ops.ops}.intersection(PROFILER_CASES[name].absent)


@with_operators
def test_operators_take_time_but_not_more_than_the_calls_around_them(found: Look, name: str) -> None:
    ops = found(name)[0].ops
    assert ops is not None
    assert ops.runs == RUNS
    assert 0 < ops.ops_ns_per_run <= ops.wall_ns_per_run
    assert list(ops.ops) == sorted(ops.ops, key=lambda op: -op.ns_per_run)


@with_operators
def test_operators_lie_within_their_calls_on_the_hosts_clock(found: Look, name: str) -> None:
    profile, _ = found(name)
    slack_ns = _CLOCK_GRAIN_NS + (profile.anchor.residual_ns if profile.anchor is not None else 0)
    ops = [event for event in profile.events if event.category == "op"]
    assert len(ops) >= RUNS + 1
    for op in ops:
        assert any(
            call.start_ns - slack_ns <= op.start_ns and op.end_ns <= call.end_ns + slack_ns for call in _calls(profile)
        ), op


@with_operators
def test_the_clocks_agree_to_within_a_call(found: Look, name: str) -> None:
    profile, _ = found(name)
    if profile.anchor is not None:
        assert "lies inside" in profile.anchor.method
        assert profile.anchor.residual_ns <= min(call.duration_ns for call in _calls(profile)) / 2


def _calls(profile: Profile) -> list[TraceEvent]:
    return [event for event in profile.events if event.category == "call"]
