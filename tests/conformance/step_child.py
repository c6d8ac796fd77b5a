"""What is seen of the steps of one family; runs in a process of its own and answers in plain JSON."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.contracts import StepResult
from bench.core.errors import StepFailed
from bench.core.files import sha256_tree
from tests.conformance import step_sources
from tests.conformance.step_cases import CASES, StepCase
from tests.conformance.step_scenarios import SCENARIOS
from tests.conformance.weight_bytes import weight_bytes


class Applied:
    """One case applied twice, with what the disk looked like around it."""

    def __init__(self, case: StepCase, root: Path, directory: Path) -> None:
        self.case = case
        self.directory = directory
        (directory / "source").mkdir(parents=True)
        self.source: Artifact = getattr(step_sources, case.source)(directory / "source")
        self.step = plugins.load("steps", case.step)
        self.options = self.step.Options(**case.options)
        self.blockers = self.step.blockers(self.source.format, self.options)
        learns = plugins.lookup("steps", case.step).learns_from
        self.examples = step_sources.examples_for(self.source) if learns else None
        before = self._outside(root)
        self.results = [self._apply(directory / name) for name in ("first", "second")]
        self.written_outside = self._outside(root) ^ before

    def _apply(self, out_dir: Path) -> StepResult:
        out_dir.mkdir()
        return self.step.apply(self.source, self.options, out_dir, self.examples)

    def _outside(self, root: Path) -> set[tuple[str, int]]:
        """Files and their times of change, in all of the working directory but the two output directories."""
        own = [self.directory / "first", self.directory / "second"]
        files = [path for path in root.rglob("*") if path.is_file() and not any(map(path.is_relative_to, own))]
        return {(str(path), path.stat().st_mtime_ns) for path in files}

    def outputs(self, result: StepResult | None, sizes: Mapping[str, int]) -> Mapping[str, Any]:
        batch = {spec.name: values_of(spec, sizes) for spec in self.source.inputs}
        if result is None:
            source = self.source
            return step_sources.run(source.format, Path(source.path), batch, source.inputs, source.outputs)
        return step_sources.run(result.format, result.path, batch, result.inputs, result.outputs)


def values_of(spec: Any, sizes: Mapping[str, int]) -> Any:
    shape = [sizes.get(size, size) for size in spec.shape]
    rng = np.random.default_rng(5)
    if spec.name == "attention_mask":
        return (np.arange(shape[1]) < shape[1] - 2)[None].repeat(shape[0], 0).astype(spec.dtype)
    return rng.integers(0, 50, shape) if spec.dtype == "int64" else rng.random(shape, dtype=np.float32)


def agrees(applied: Applied) -> None:
    for sizes in applied.case.sizes if applied.case.executes else ():
        expected = applied.outputs(None, sizes)
        actual = applied.outputs(applied.results[0], sizes)
        assert expected.keys() == actual.keys()
        for name, values in expected.items():
            assert actual[name].shape == values.shape, (name, actual[name].shape, values.shape)
            error = float(np.abs(actual[name] - values).max() / np.abs(values).max())
            assert error <= applied.case.relative_error, (name, error)


def narrows_weights(applied: Applied) -> None:
    """Close outputs alone would let an untouched copy pass."""
    if not applied.case.narrows:
        return
    result = applied.results[0]
    before = weight_bytes(applied.source.format, Path(applied.source.path))
    after = weight_bytes(result.format, result.path)
    assert after["narrow"] > before["narrow"], (before, after)
    assert after["float32"] < before["float32"], (before, after)


def same_meaning_twice(applied: Applied) -> None:
    if not applied.case.executes:
        return
    first, second = (applied.outputs(result, applied.case.sizes[0]) for result in applied.results)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-6)


def keeps_source(applied: Applied) -> None:
    assert sha256_tree(Path(applied.source.path)) == applied.source.id


def writes_only_there(applied: Applied) -> None:
    assert not applied.written_outside, applied.written_outside
    assert applied.results[0].path.is_relative_to(applied.directory / "first")


def makes_its_format(applied: Applied) -> None:
    assert not applied.blockers
    assert applied.results[0].format == (plugins.lookup("steps", applied.case.step).produces or applied.source.format)


def keeps_signature(applied: Applied) -> None:
    result = applied.results[0]
    for ours, theirs in ((result.inputs, applied.source.inputs), (result.outputs, applied.source.outputs)):
        assert [(s.name, s.dtype, s.shape) for s in ours] == [(s.name, s.dtype, s.shape) for s in theirs]


def tells_changes(applied: Applied) -> None:
    changes = {change.what: change for change in applied.results[0].changes}
    assert changes["bytes"].before == applied.source.size_bytes
    assert changes["bytes"].after > 0
    assert len(changes) > 1


def refuses_garbage(applied: Applied) -> None:
    garbage = applied.directory / f"garbage{Path(applied.source.path).suffix}"
    garbage.write_bytes(b"\xff\xfe this is no model")
    out_dir = applied.directory / "of_garbage"
    out_dir.mkdir()
    source = replace(applied.source, path=str(garbage))
    with pytest.raises(StepFailed) as caught:
        applied.step.apply(source, applied.options, out_dir, applied.examples)
    assert caught.value.hint
    assert applied.case.step in caught.value.message
    assert "\n" not in caught.value.message


CHECKS: tuple[Callable[[Applied], None], ...] = (
    writes_only_there,
    keeps_source,
    makes_its_format,
    agrees,
    narrows_weights,
    same_meaning_twice,
    keeps_signature,
    tells_changes,
    refuses_garbage,
)


def report(*, directory: Path, family: str) -> dict[str, str]:
    """ "<case id>/<check>" or a scenario's name -> an empty text, or what is wrong."""
    root = directory / "work"
    root.mkdir()
    found: dict[str, str] = {}
    for case in CASES:
        if case.family == family:
            found |= check_case(case, root)
    for scenario in SCENARIOS[family]:
        (root / scenario.__name__).mkdir()
        found[scenario.__name__] = problem_of(scenario, root / scenario.__name__)
    return found


def check_case(case: StepCase, root: Path) -> dict[str, str]:
    if case.gap is not None:
        problem = problem_of(fails_as_it_says, (case, root))
        return {f"{case.id}/{check.__name__}": problem for check in CHECKS}
    try:
        applied = Applied(case, root, root / case.id.replace("/", "_").replace(" ", ""))
    except Exception:  # noqa: BLE001  whatever happens is the report
        return {f"{case.id}/{check.__name__}": traceback.format_exc() for check in CHECKS}
    return {f"{case.id}/{check.__name__}": problem_of(check, applied) for check in CHECKS}


def fails_as_it_says(case_and_root: tuple[StepCase, Path]) -> None:
    case, root = case_and_root
    with pytest.raises(StepFailed) as caught:
        Applied(case, root, root / case.id.replace("/", "_").replace(" ", ""))
    assert case.gap is not None
    assert case.gap.error in caught.value.message


def problem_of(check: Callable[[Any], None], argument: Any) -> str:
    try:
        check(argument)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001  whatever happens is the report
        return traceback.format_exc()
    return ""
