"""What every adapter promises, checked on the smallest model of every format that it accepts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.core import plugins
from tests.conformance.adapter_cases import CASES, FEATURES
from tests.conformance.adapter_checks import BATCH, build, facts
from tests.conformance.isolated import call_isolated

_COMPILE_TIMEOUT_S = 240

_ALL = [
    pytest.param(
        name,
        marks=[] if case.adapter == "null" else [pytest.mark.slow, pytest.mark.timeout(_COMPILE_TIMEOUT_S)],
    )
    for name, case in CASES.items()
    if not case.unavailable
]
_FIRST_OF_EACH = {
    case.adapter: name
    for name, case in reversed(CASES.items())
    if not case.unavailable and case.threads_beside_main is not None
}
_COMPILED = [name for name, case in CASES.items() if not case.unavailable and case.threads_beside_main is None]
_UNAVAILABLE = [name for name, case in CASES.items() if case.unavailable]

#: `import tensorflow` imports Keras, which writes its settings; nothing else may appear in the home directory.
_HARMLESS_AT_HOME = {".keras", ".keras/keras.json"}

Look = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """The facts of a case with a budget of threads: one process each, seen once and judged by many tests."""

    @cache
    def paths(adapter: str) -> dict[str, str]:
        names = [name for name, case in CASES.items() if case.adapter == adapter]
        directory = tmp_path_factory.mktemp(adapter)
        if adapter == "null":
            return build(directory=directory, names=names)
        built: dict[str, str] = call_isolated(
            f"{build.__module__}:build", timeout_s=_COMPILE_TIMEOUT_S - 20, directory=directory, names=names
        )
        return built

    @cache
    def look_once(name: str, threads: int = 1) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "directory": tmp_path_factory.mktemp(name),
            "name": name,
            "path": paths(CASES[name].adapter)[name],
            "threads": threads,
        }
        if name == "null":
            return facts(**arguments)
        seen: dict[str, Any] = call_isolated(
            f"{facts.__module__}:facts", timeout_s=_COMPILE_TIMEOUT_S - 20, **arguments
        )
        return seen

    return look_once


def test_every_format_of_every_adapter_has_a_case() -> None:
    accepted = {(spec.name, format) for spec in plugins.table("adapters").values() for format in spec.accepts}
    assert accepted == {(case.adapter, case.format) for case in CASES.values()}


def test_the_table_is_sorted_and_read_without_any_framework(tmp_path: Path) -> None:
    assert list(plugins.table("adapters")) == sorted(plugins.table("adapters"))
    loaded = call_isolated("tests.conformance.adapter_checks:loaded_with_the_plugins", directory=tmp_path)
    assert loaded == []


@pytest.mark.parametrize("name", _ALL)
def test_outputs_equal_an_independent_computation(look: Look, name: str) -> None:
    seen = look(name)
    assert seen["worst_error"] < 1e-5
    assert seen["sample_alone_error"] < 1e-5
    assert seen["shapes"] == {"product": [BATCH, FEATURES], "total": [BATCH]}
    assert seen["types"] == ["ndarray"]
    assert seen["dtypes"] == ["float32"]


@pytest.mark.parametrize("name", _ALL)
def test_names_are_ours_and_in_our_order(look: Look, name: str) -> None:
    seen = look(name)
    assert seen["names"] == seen["output_names"] == ["product", "total"]
    assert seen["input_names"] == ["left", "right"]


@pytest.mark.parametrize("name", _ALL)
def test_the_same_input_gives_the_same_output_by_run_and_by_bind(look: Look, name: str) -> None:
    assert look(name)["twice_equal"]
    assert look(name)["bound_equals_run"]


@pytest.mark.parametrize("name", _ALL)
def test_outputs_stay_when_the_next_call_is_made_and_inputs_are_not_touched(look: Look, name: str) -> None:
    assert look(name)["bound_outputs_stay"]
    assert look(name)["inputs_untouched"]


@pytest.mark.parametrize("name", _ALL)
def test_what_does_not_fit_the_signature_is_refused_in_one_line(look: Look, name: str) -> None:
    for what, message in look(name)["refusals"].items():
        assert "the model takes" in message, what
        assert "\n" not in message


@pytest.mark.parametrize("name", _ALL)
def test_closing_twice_is_harmless_and_a_closed_session_says_so(look: Look, name: str) -> None:
    assert look(name)["refused_after_close"] == "the session is closed"


@pytest.mark.parametrize("name", _ALL)
def test_versions_and_provider_are_named(look: Look, name: str) -> None:
    seen = look(name)
    assert all(seen["versions"].values())
    assert set(seen["versions"]) >= set(plugins.lookup("adapters", CASES[name].adapter).needs)
    assert "cpu" in seen["provider"].lower() or name == "null"


@pytest.mark.parametrize("name", _ALL)
def test_one_thread_is_one_thread(look: Look, name: str) -> None:
    seen, expected = look(name), CASES[name].threads_beside_main
    assert seen["cores_used"] < 1.2
    if expected is not None:
        assert seen["threads_of_run"] <= expected(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", _FIRST_OF_EACH.values())
def test_a_larger_budget_gives_larger_pools_and_no_more(look: Look, name: str) -> None:
    expected = CASES[name].threads_beside_main
    assert expected is not None
    assert look(name, threads=3)["threads_of_run"] == expected(3)


@pytest.mark.slow
@pytest.mark.timeout(_COMPILE_TIMEOUT_S)
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot tell two threads from one")
@pytest.mark.parametrize("name", _COMPILED)
def test_a_larger_budget_shares_the_work_where_pools_cannot_be_counted(look: Look, name: str) -> None:
    assert look(name, threads=2)["busiest_thread_ratio"] < 0.8 < look(name)["busiest_thread_ratio"]


@pytest.mark.parametrize("name", _ALL)
def test_no_telemetry_reaches_the_home_directory(look: Look, name: str) -> None:
    assert set(look(name)["home"]) <= _HARMLESS_AT_HOME


@pytest.mark.slow
def test_importing_onnx_runtime_starts_no_telemetry_thread(look: Look) -> None:
    assert look("onnx")["threads_of_import"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", _UNAVAILABLE)
def test_without_its_device_a_whole_artifact_cannot_be_opened_and_nothing_is_pretended(
    name: str, tmp_path: Path
) -> None:
    paths = call_isolated(f"{build.__module__}:build", directory=tmp_path, names=[name])
    said = call_isolated(
        f"{build.__module__}:refusal_to_open", directory=tmp_path / "opened", name=name, path=paths[name]
    )
    assert said["type"] == "ExecutionUnavailable"
    assert said["message"] == CASES[name].unavailable
    assert said["hint"]
