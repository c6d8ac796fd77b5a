"""Every optimizer and converter keeps the contract of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from bench.core import plugins
from bench.core.cache import cache_root
from tests.conformance.isolated import call_isolated
from tests.conformance.step_cases import CASES, StepCase
from tests.conformance.step_child import CHECKS
from tests.conformance.step_scenarios import SCENARIOS

_CHILD_TIMEOUT_S = 280

_LEFT = "left"

Report = Callable[[str], Mapping[str, str]]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What a family's child process found; it runs once and is judged by many tests."""

    @cache
    def of_family(family: str) -> Mapping[str, str]:
        directory = tmp_path_factory.mktemp(family)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEPLOYBENCH_CACHE", str(cache_root()))  # what was fetched lies in the user's own
            found: dict[str, str] = call_isolated(
                "tests.conformance.step_child:report",
                directory=directory,
                timeout_s=_CHILD_TIMEOUT_S - 20,
                family=family,
            )
        ours = {directory / name for name in ("answer.json", "home/.keras/keras.json")}
        left = {path for path in directory.rglob("*") if path.is_file() and "work" not in path.parts} - ours
        return {**found, _LEFT: f"files were left outside: {sorted(map(str, left))}" if left else ""}

    return of_family


@pytest.mark.slow
@pytest.mark.timeout(_CHILD_TIMEOUT_S)
@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_step_keeps_the_contract(case: StepCase, check: str, report: Report) -> None:
    problem = report(case.family)[f"{case.id}/{check}"]
    assert not problem, problem


@pytest.mark.slow
@pytest.mark.timeout(_CHILD_TIMEOUT_S)
@pytest.mark.parametrize(
    ("family", "scenario"),
    [(family, scenario.__name__) for family, scenarios in SCENARIOS.items() for scenario in scenarios],
)
def test_a_single_step_does_what_it_says(family: str, scenario: str, report: Report) -> None:
    problem = report(family)[scenario]
    assert not problem, problem


@pytest.mark.slow
@pytest.mark.timeout(_CHILD_TIMEOUT_S)
@pytest.mark.parametrize("family", SCENARIOS)
def test_steps_leave_nothing_at_home_and_among_temporary_files(family: str, report: Report) -> None:
    problem = report(family)[_LEFT]
    assert not problem, problem


def test_every_step_of_the_tables_has_a_case() -> None:
    assert {case.step for case in CASES} == set(plugins.table("steps"))
