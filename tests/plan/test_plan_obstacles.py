"""Why a cell cannot run here, told before anything is built: the reason, the way out and whose affair it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import limits
from bench.core import plugins
from bench.core.cell import Cell, Group, Limits, ModelRef, StepCall, Variant
from bench.core.plugins import PluginSpec
from bench.core.results import Outcome
from bench.plan import Plan, make_plan
from bench.zoo import fetch

DIGITS = ModelRef(name="digits", kind="zoo", location="digits")
NULL = ModelRef(name="m", kind="null", location="null")
KERAS = Variant(name="keras", source="keras", adapter="tensorflow")
ONNX = Variant(
    name="onnx",
    source="keras",
    adapter="onnxruntime",
    steps=(StepCall(name="keras_to_saved_model"), StepCall(name="saved_model_to_onnx")),
)
PLAIN = Variant(name="plain", source="null", adapter="null")


@pytest.fixture(autouse=True)
def _everything_is_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that the answers do not hang on what this machine has; single tests take packages away."""
    hide(monkeypatch)
    plugins.table.cache_clear()
    yield
    plugins.table.cache_clear()


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(plugins, "_is_installed", lambda name: name not in packages)


def plan_of(*cells: Cell) -> Plan:
    return make_plan((Group(id="g", cells=cells, reference_id=cells[0].id),))


def obstacle(model: ModelRef = NULL, variant: Variant = PLAIN, **more: Any) -> Outcome | None:
    (planned,) = plan_of(Cell(model=model, variant=variant, **more)).cells
    return planned.obstacle


def told(found: Outcome | None) -> tuple[str, str, str]:
    """Status, reason and hint of a cell that cannot run."""
    assert found is not None
    assert found.phase == "plan"
    assert found.culprit
    return found.status, found.reason, found.hint


def test_a_cell_without_obstacle_is_runnable() -> None:
    assert obstacle() is None
    assert obstacle(DIGITS, KERAS) is None
    assert obstacle(DIGITS, ONNX) is None


@pytest.mark.parametrize(
    ("package", "model", "variant", "needing", "installs"),
    [
        ("tensorflow", DIGITS, KERAS, "tensorflow", "tensorflow"),
        ("onnxruntime", DIGITS, ONNX, "saved_model_to_onnx", "onnxruntime"),
        ("tf2onnx", DIGITS, ONNX, "saved_model_to_onnx", "tf2onnx"),
        ("sklearn", DIGITS, KERAS, "digits", "scikit-learn"),
    ],
)
def test_a_missing_package_skips_what_needs_it_and_names_what_pip_installs(
    monkeypatch: pytest.MonkeyPatch, package: str, model: ModelRef, variant: Variant, needing: str, installs: str
) -> None:
    hide(monkeypatch, package)
    assert told(obstacle(model, variant)) == (
        "skipped",
        f"{needing} needs {package}, not installed",
        f"pip install {installs}",
    )
    assert obstacle() is None


def test_zoo_data_that_was_not_fetched_skips_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path))
    minilm = ModelRef(name="minilm", kind="zoo", location="minilm")
    status, reason, hint = told(obstacle(minilm, Variant(name="torch", source="torch_module", adapter="torch")))
    assert status == "skipped"
    assert "is not fetched" in reason
    assert "bench.zoo.fetch" in hint


@pytest.mark.parametrize(("format", "location"), [("exported_program", "m.pt2"), ("python_callable", "mine.py:build")])
def test_code_is_refused_until_the_user_trusts_it(format: str, location: str) -> None:
    variant = Variant(name="it", source=format, adapter="torch")
    model = ModelRef(name="it", kind="path", location=location, format=format)
    status, reason, hint = told(obstacle(model, variant))
    assert status == "refused"
    assert format in reason
    assert f"--trust {location}" in hint
    trusted = ModelRef(name="it", kind="path", location=location, format=format, trusted=True)
    assert obstacle(trusted, variant) is None


@pytest.mark.parametrize("format", ["onnx", "saved_model", "keras", "frozen_graph"])
def test_formats_that_are_not_code_need_no_trust(format: str) -> None:
    adapter = "onnxruntime" if format == "onnx" else "tensorflow"
    model = ModelRef(name="it", kind="path", location="it", format=format)
    assert obstacle(model, Variant(name="it", source=format, adapter=adapter)) is None


def test_a_format_that_the_model_does_not_offer_is_said_with_those_that_it_does() -> None:
    status, reason, hint = told(obstacle(DIGITS, Variant(name="onnx", source="onnx", adapter="onnxruntime")))
    assert status == "skipped"
    assert "starts from onnx, digits offers keras, torch_module" in reason
    assert "models.digits.variants" in hint


def test_a_step_that_says_no_blocks_its_cells_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        class Options:
            pass

        def blockers(self, source_format: str, options: object) -> Sequence[str]:
            return (f"not with {source_format}: use another", "and not on Fridays")

    asked: list[str] = []

    def load(kind: str, name: str) -> Stubborn:
        asked.append(f"{kind} {name}")
        return Stubborn()

    monkeypatch.setattr(plugins, "load", load)
    status, reason, _ = told(obstacle(DIGITS, ONNX))
    assert status == "skipped"
    assert reason == "keras_to_saved_model: not with keras: use another; and not on Fridays"
    assert asked == ["steps keras_to_saved_model"], "the steps after it were asked too"


def test_each_step_is_asked_about_the_format_that_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Curious:
        class Options:
            pass

        def blockers(self, source_format: str, options: object) -> Sequence[str]:
            seen.append(source_format)
            return ()

    original = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: Curious() if kind == "steps" else original(kind, name))
    assert obstacle(DIGITS, ONNX) is None
    assert seen == ["keras", "saved_model"]


def test_a_step_whose_module_cannot_be_imported_skips_the_cell_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PluginSpec(name="keras_to_saved_model", target="no_such_module:X", summary="", accepts=("keras",))
    monkeypatch.setattr(plugins, "lookup", _lookup_with(spec))
    status, reason, hint = told(obstacle(DIGITS, ONNX))
    assert status == "skipped"
    assert "cannot be imported" in reason
    assert "bench doctor" in hint


@pytest.mark.parametrize("name", ["onnxruntime", "saved_model_to_onnx"])
def test_a_disabled_plug_in_skips_what_names_it_and_says_why(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    spec = PluginSpec(name=name, target="", summary="disabled: x:SPEC raised OSError: no libfoo", accepts=("onnx",))
    monkeypatch.setattr(plugins, "lookup", _lookup_with(spec))
    status, reason, hint = told(obstacle(DIGITS, ONNX))
    assert status == "skipped"
    assert "raised OSError: no libfoo" in reason
    assert hint == "bench doctor"
    assert obstacle(DIGITS, KERAS) is None


def _lookup_with(spec: PluginSpec) -> Any:
    original = plugins.lookup
    return lambda kind, name: spec if name == spec.name else original(kind, name)


def test_a_name_that_is_unknown_here_skips_the_cell_with_a_suggestion() -> None:
    status, reason, _ = told(obstacle(topology="dirrect"))
    assert status == "skipped"
    assert "did you mean 'direct'?" in reason


def test_limits_that_nobody_here_can_grant_are_an_obstacle_and_never_ignored() -> None:
    nowhere = max(os.sched_getaffinity(0)) + 1000
    for asked, words in (
        (Limits(cpu_quota_cores=0.5), "cpu_quota_cores needs cgroup limiter"),
        (Limits(gpu_ids=(0,)), "gpu_ids needs gpu limiter"),
        (Limits(cpu_ids=(nowhere,)), f"cpu_ids {nowhere} may not be used here"),
    ):
        status, reason, hint = told(obstacle(limits=asked))
        assert status == "skipped"
        assert words in reason
        assert hint == "bench list limiters"


def test_what_the_user_would_mend_first_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "torch")
    untrusted = ModelRef(name="it", kind="path", location="m.pt2", format="exported_program")
    variant = Variant(name="it", source="exported_program", adapter="torch")
    found = obstacle(untrusted, variant, limits=Limits(gpu_ids=(0,)))
    assert found is not None
    assert found.status == "refused"


def test_the_counts_of_a_plan_add_up_and_obstacles_are_named_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnxruntime")
    cells = [Cell(model=DIGITS, variant=variant, batch=batch) for batch in (1, 2, 3) for variant in (KERAS, ONNX)]
    plan = plan_of(*cells)
    assert [planned.cell for planned in plan.cells] == cells
    assert [cell.variant.name for cell in plan.runnable] == ["keras"] * 3
    assert set(plan.obstacles) == {cell.id for cell in cells if cell.variant is ONNX}


def test_equal_questions_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing_data(model: str) -> None:
        asked.append(model)

    def blockers(wanted: Limits) -> tuple[str, ...]:
        asked.append(f"threads {wanted.threads}")
        return ()

    monkeypatch.setattr(fetch, "missing_data", missing_data)
    monkeypatch.setattr(limits, "blockers", blockers)
    plan_of(
        *(
            Cell(model=DIGITS, variant=variant, batch=batch, limits=Limits(threads=threads))
            for batch in range(1, 21)
            for variant in (KERAS, ONNX)
            for threads in (1, 2)
        )
    )
    assert sorted(asked) == ["digits", "threads 1", "threads 2"]
