"""`pytest --bench-check MODEL`: every check of `bench check` as a test of its own, beside the user's own tests.

    pytest --bench-check model.onnx --bench-variant 'onnx*' --bench-cases known.npz

Registered as the pytest plug-in `deploybench`; without the option it costs an import of this file alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.core.behaviour import CHECKS, output_range

if TYPE_CHECKING:
    from bench.core.behaviour import CheckResult
    from bench.matrix import Matrix
    from bench.runner import VariantChecks


def pytest_addoption(parser: pytest.Parser) -> None:
    """The words of `bench check`, with a prefix."""
    group = parser.getgroup("deploybench", "behaviour of models (deploybench)")
    group.addoption("--bench-check", action="append", default=[], metavar="MODEL", help="a model to check, or a matrix")
    group.addoption("--bench-variant", action="append", default=[], metavar="GLOB", help="variants to check (all)")
    group.addoption("--bench-cases", default="", metavar="FILE", help="inputs with `labels` that must come out right")
    group.addoption(
        "--bench-output-range", action="append", default=[], metavar="OUTPUT=LOW:HIGH", help="values an output may have"
    )
    group.addoption("--bench-trust", action="append", default=[], metavar="PATH", help="a model that may run code")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one test for each check of each variant."""
    for target in config.getoption("--bench-check"):
        items.extend(_tests_of(target, session, config))


def _tests_of(target: str, session: pytest.Session, config: pytest.Config) -> Iterator[pytest.Item]:
    from bench.core.errors import BenchError, MatrixError

    try:
        matrix = _matrix(target, config)
    except BenchError as error:
        problems = error.problems if isinstance(error, MatrixError) else ()
        raise pytest.UsageError(*problems, f"--bench-check {target}: {error.message} ({error.hint})") from error
    checked = _Checked(matrix, config)
    for model, variant in dict.fromkeys((cell.model.name, cell.variant.name) for cell in matrix.cells):
        if checked.wants(variant):
            for check in CHECKS:
                yield BehaviourTest.of(session, checked, model, variant, check)


def _matrix(target: str, config: pytest.Config) -> Matrix:
    from bench import matrix

    trusted = config.getoption("--bench-trust")
    if target.endswith((".yaml", ".yml")):
        return matrix.load(Path(target), trusted=trusted)
    return matrix.matrix_for_model(target, trusted=trusted)


class _Checked:
    """The results of one model, made when the first of its tests runs."""

    def __init__(self, matrix: Matrix, config: pytest.Config) -> None:
        self._matrix = matrix
        self._patterns: list[str] = config.getoption("--bench-variant")
        self._cases: str = config.getoption("--bench-cases")
        self._ranges: list[str] = config.getoption("--bench-output-range")
        self._found: dict[tuple[str, str], VariantChecks] | None = None

    def wants(self, variant: str) -> bool:
        from fnmatch import fnmatchcase

        return not self._patterns or any(fnmatchcase(variant, pattern) for pattern in self._patterns)

    def of(self, model: str, variant: str) -> VariantChecks:
        if self._found is None:
            self._found = {(each.model, each.variant): each for each in self._make()}
        return self._found[model, variant]

    def _make(self) -> Iterator[VariantChecks]:
        from bench import runner

        return runner.check_behaviour(
            self._matrix,
            runner.Silent(),
            variants=self._patterns,
            ranges=[output_range(text) for text in self._ranges],
            cases=Path(self._cases) if self._cases else None,
        )


class BehaviourFailed(Exception):
    """Carries what a check found, so that pytest shows one line and no traceback."""


class BehaviourTest(pytest.Item):
    """One check of one variant."""

    checked: _Checked
    wanted: tuple[str, str, str]

    @classmethod
    def of(cls, session: pytest.Session, checked: _Checked, model: str, variant: str, check: str) -> BehaviourTest:
        """The test, named `model.variant: check`."""
        test: BehaviourTest = cls.from_parent(session, name=f"{model}.{variant}: {check}")
        test.checked, test.wanted = checked, (model, variant, check)
        return test

    def runtest(self) -> None:
        """Pass, skip with the reason, warn, or fail in one line."""
        model, variant, check = self.wanted
        checks = self.checked.of(model, variant)
        if checks.outcome is not None:
            if checks.outcome.status == "skipped":
                pytest.skip(checks.outcome.reason)
            raise BehaviourFailed(f"{checks.outcome.status}: {checks.outcome.reason}")
        self._judge(next((each for each in checks.results if each.check == check), None))

    def _judge(self, result: CheckResult | None) -> None:
        if result is None:
            raise BehaviourFailed("not reached: the model could not be opened")
        if result.status == "skipped":
            pytest.skip(result.text)
        if result.status == "failed":
            raise BehaviourFailed(result.text)
        self.add_report_section("call", f"{result.check}: {result.status}", result.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """What was found, in its own words."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says the test stands."""
        return Path("bench check"), 0, self.name
