"""`pytest --bench-check MODEL`: every check of `bench check` as a test of its own, beside the user's own tests.

    pytest --bench-check model.onnx --bench-variant 'onnx*' --bench-cases known.npz

Registered as the pytest plug-in `deploybench`; without the option it costs an import of this file alone.
"""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from bench.core.behaviour import CHECKS, output_range
from bench.core.errors import BenchError, Interrupted, MatrixError

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr, TracebackStyle

    from bench.core.behaviour import CheckResult, OutputRange
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


class BehaviourWarning(UserWarning):
    """What a check found that is worth knowing and no fault."""


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one test for each check of each variant; UsageError for words that mean nothing."""
    targets = config.getoption("--bench-check")
    if targets:
        items.extend(_tests(targets, session, config))


def _tests(targets: Sequence[str], session: pytest.Session, config: pytest.Config) -> list[pytest.Item]:
    from bench import runner

    patterns: list[str] = config.getoption("--bench-variant")
    try:
        matrices = [_matrix(target, config) for target in targets]
        runner.require_variants(patterns, [cell.variant.name for matrix in matrices for cell in matrix.cells])
        ranges = [output_range(text) for text in config.getoption("--bench-output-range")]
        given = config.getoption("--bench-cases")
        cases = Path(given).absolute() if given else None
        if cases is not None:
            runner.require_cases(cases)
    except BenchError as error:
        problems = error.problems if isinstance(error, MatrixError) else ()
        raise pytest.UsageError(*problems, _in_words(error)) from error
    return [test for matrix in matrices for test in _tests_of(matrix, patterns, ranges, cases, session)]


def _tests_of(
    matrix: Matrix,
    patterns: Sequence[str],
    ranges: Sequence[OutputRange],
    cases: Path | None,
    session: pytest.Session,
) -> Iterator[pytest.Item]:
    chosen = {
        (cell.model.name, cell.variant.name): None
        for cell in matrix.cells
        if not patterns or any(fnmatchcase(cell.variant.name, pattern) for pattern in patterns)
    }
    checked = _Checked(matrix, sorted({variant for _, variant in chosen}), ranges, cases)
    for model, variant in chosen:
        for check in CHECKS:
            yield BehaviourTest.of(session, checked, model, variant, check)


def _matrix(target: str, config: pytest.Config) -> Matrix:
    from bench import matrix

    trusted = config.getoption("--bench-trust")
    if target.endswith((".yaml", ".yml")):
        return matrix.load(Path(target), trusted=trusted)
    return matrix.matrix_for_model(target, trusted=trusted)


class _Checked:
    """The results of one model, made when the first of its tests runs; so is the error that ended the making."""

    def __init__(
        self, matrix: Matrix, variants: Sequence[str], ranges: Sequence[OutputRange], cases: Path | None
    ) -> None:
        self._matrix = matrix
        self._variants = variants
        self._ranges = ranges
        self._cases = cases
        self._found: dict[tuple[str, str], VariantChecks] | None = None
        self._error: Exception | None = None
        self._raised_at: TracebackType | None = None

    def of(self, model: str, variant: str) -> VariantChecks:
        if self._found is None:
            self._found = {}
            self._make_into(self._found)
        if (model, variant) not in self._found and self._error is not None:
            raise self._error.with_traceback(self._raised_at)  # else it would grow by each test
        return self._found[model, variant]

    def _make_into(self, found: dict[tuple[str, str], VariantChecks]) -> None:
        from bench import runner

        variants = [glob.escape(name) for name in self._variants]
        try:
            for checks in runner.check_behaviour(
                self._matrix, runner.Silent(), variants=variants, ranges=self._ranges, cases=self._cases
            ):
                found[checks.model, checks.variant] = checks
        except Interrupted as error:
            raise KeyboardInterrupt from error  # what pytest ends for
        except Exception as error:  # noqa: BLE001  raised again by each test that it concerns
            self._error, self._raised_at = error, error.__traceback__


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
        result = next((each for each in checks.results if each.check == check), None)
        if result is not None:
            self._judge(result)
        elif checks.outcome is None:
            raise BehaviourFailed("not reached: the model could not be opened")
        elif checks.outcome.status == "skipped":
            pytest.skip(checks.outcome.reason)
        else:
            hint = f" (next: {checks.outcome.hint})" if checks.outcome.hint else ""
            raise BehaviourFailed(f"{checks.outcome.status}: {checks.outcome.reason}{hint}")

    def _judge(self, result: CheckResult) -> None:
        if result.status == "skipped":
            pytest.skip(result.text)
        if result.status == "failed":
            raise BehaviourFailed(result.text)
        if result.status == "warned":
            place, line, name = self.reportinfo()
            warnings.warn_explicit(f"{name}: {result.text}", BehaviourWarning, str(place), line)
        self.add_report_section("call", f"{result.check}: {result.status}", result.text)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: TracebackStyle | None = None
    ) -> str | TerminalRepr:
        """What was found, in its own words; of an error that nobody raised on purpose, where it comes from."""
        if isinstance(excinfo.value, BenchError):
            return _in_words(excinfo.value)
        if isinstance(excinfo.value, BehaviourFailed | BehaviourWarning):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says the test stands."""
        return Path("bench check"), 0, self.name


def _in_words(error: BenchError) -> str:
    return f"{error.message} (next: {error.hint})" if error.hint else error.message
