"""Plug-ins of third parties, and packages that are absent or broken: each costs only what needs it."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.core import plugins
from bench.core.errors import MatrixError, MissingPackage, PluginError
from bench.core.plugins import PluginSpec, install_hint, load, lookup, table
from bench.formats.steps import table_blockers

Register = Callable[..., None]
WriteModule = Callable[[str, str], None]

SPEC_SOURCE = """
from bench.core.plugins import PluginSpec
SPEC = PluginSpec(name="{name}", target="{module}:Thing", summary="of a third party", needs={needs!r})
class Thing: pass
"""


@pytest.fixture(autouse=True)
def _tables_are_read_anew() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    plugins.table.cache_clear()
    plugins._is_installed.cache_clear()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WriteModule]:
    """Write a module that can be imported while the test runs."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written: list[str] = []

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Install entry points, as `kind name=value` words, for the duration of the test."""

    def register(*entries: tuple[str, str, str]) -> None:
        points = [
            importlib.metadata.EntryPoint(name=name, value=value, group=f"deploybench.{kind}")
            for kind, name, value in entries
        ]

        def entry_points(*, group: str) -> importlib.metadata.EntryPoints:
            return importlib.metadata.EntryPoints(points).select(group=group)

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return register


def third_party(module: str, name: str, needs: tuple[str, ...] = ()) -> str:
    return SPEC_SOURCE.format(name=name, module=module, needs=needs)


def test_a_plug_in_of_a_third_party_stands_beside_ours(register: Register, write_module: WriteModule) -> None:
    write_module("good_party", third_party("good_party", "theirs"))
    register(("adapters", "theirs", "good_party:SPEC"))
    assert {"null", "theirs"} <= set(table("adapters"))
    assert load("adapters", "theirs").__name__ == "Thing"
    assert "theirs" not in table("steps")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("raise OSError('libfoo.so.3: cannot open shared object file')", "OSError: libfoo.so.3"),
        ("SPEK = 1", "AttributeError"),
    ],
)
def test_a_plug_in_whose_import_raises_is_disabled_with_its_reason_and_the_rest_runs(
    source: str, reason: str, register: Register, write_module: WriteModule
) -> None:
    write_module("bad_party", source)
    write_module("good_party", third_party("good_party", "theirs"))
    register(("adapters", "bad", "bad_party:SPEC"), ("adapters", "theirs", "good_party:SPEC"))
    bad = lookup("adapters", "bad")
    assert bad.is_disabled
    assert "bad_party:SPEC raised" in bad.summary
    assert reason in bad.summary
    assert load("adapters", "null") is not None
    assert load("adapters", "theirs") is not None
    with pytest.raises(PluginError, match=r"'bad' is disabled: bad_party:SPEC raised"):
        load("adapters", "bad")


def test_no_built_in_line_is_disabled() -> None:
    assert [spec.name for kind in plugins.TABLES for spec in table(kind).values() if spec.is_disabled] == []


def test_two_plug_ins_of_one_name_are_an_error_that_names_both(register: Register, write_module: WriteModule) -> None:
    write_module("usurper", third_party("usurper", "null"))
    register(("adapters", "null", "usurper:SPEC"))
    with pytest.raises(PluginError, match=r"called 'null': bench\.adapters\.null:ADAPTER, usurper:Thing") as caught:
        table("adapters")
    assert caught.value.hint
    assert "null" in table("models")  # the other kinds are untouched


def test_a_disabled_plug_in_of_a_taken_name_is_named_too(register: Register, write_module: WriteModule) -> None:
    write_module("usurper", "raise RuntimeError('broken')")
    register(("adapters", "null", "usurper:SPEC"))
    with pytest.raises(PluginError, match=r"bench\.adapters\.null:ADAPTER, disabled: usurper:SPEC raised RuntimeError"):
        table("adapters")


def test_an_entry_point_that_is_no_table_line_is_disabled_and_told_what_it_should_be(register: Register) -> None:
    register(("steps", "odd", "json:dumps"))
    assert table("steps")["odd"].is_disabled
    assert "json:dumps is a function, not a bench.core.plugins.PluginSpec" in table("steps")["odd"].summary
    assert not table("steps")["freeze"].is_disabled


def test_a_package_that_is_not_installed_is_missing_and_pip_is_the_way_out(
    register: Register, write_module: WriteModule
) -> None:
    write_module("good_party", third_party("good_party", "theirs", needs=("no_such_package_1", "json")))
    register(("adapters", "theirs", "good_party:SPEC"))
    assert lookup("adapters", "theirs").missing_packages() == ("no_such_package_1",)
    with pytest.raises(MissingPackage, match="'theirs' needs no_such_package_1, not installed") as caught:
        load("adapters", "theirs")
    assert caught.value.hint == "pip install no_such_package_1"
    assert caught.value.exit_code == 3


def test_a_package_that_python_was_told_not_to_import_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackage) as caught:
        load("adapters", "onnxruntime")
    assert caught.value.hint == "pip install onnxruntime"


def test_pip_is_given_the_name_of_the_distribution_where_it_differs() -> None:
    assert install_hint(("torch", "sklearn")) == "pip install torch scikit-learn"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('undefined symbol: foo')", "ImportError: undefined symbol: foo"),
        ("raise OSError('libfoo.so.3: cannot open shared object file')", "OSError: libfoo.so.3"),
        ("raise AttributeError('module numpy has no attribute float')", "AttributeError: module numpy"),
    ],
)
def test_a_package_that_is_installed_but_broken_is_missing_in_words(
    source: str, reason: str, register: Register, write_module: WriteModule
) -> None:
    write_module("broken_package", source)
    write_module("plug_in", "import broken_package\nclass Thing: pass")
    write_module("lines", third_party("plug_in", "theirs", needs=("broken_package",)))
    register(("adapters", "theirs", "lines:SPEC"))
    assert lookup("adapters", "theirs").missing_packages() == ()
    with pytest.raises(MissingPackage, match="'theirs' cannot be imported") as caught:
        load("adapters", "theirs")
    assert reason in caught.value.message
    assert "bench doctor" in str(caught.value.hint)


def test_a_line_that_names_what_its_module_does_not_have_is_an_error(
    register: Register, write_module: WriteModule
) -> None:
    write_module("plug_in", "")
    write_module("lines", third_party("plug_in", "theirs"))
    register(("adapters", "theirs", "lines:SPEC"))
    with pytest.raises(PluginError, match="plug_in:Thing does not exist") as caught:
        load("adapters", "theirs")
    assert not isinstance(caught.value, MissingPackage)


def test_a_typo_is_answered_with_the_closest_name() -> None:
    with pytest.raises(MatrixError, match=r"'tensorflwo' .* did you mean 'tensorflow'\?") as caught:
        lookup("adapters", "tensorflwo")
    assert caught.value.hint == "bench list adapters"


def test_a_word_like_no_name_gets_no_suggestion() -> None:
    with pytest.raises(MatrixError) as caught:
        lookup("adapters", "zzzzzz")
    assert "did you mean" not in caught.value.message


def test_the_blockers_of_a_step_name_what_pip_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PluginSpec(name="made_up", target="x:y", summary="", needs=("no_such_package_1",), accepts=("onnx",))
    monkeypatch.setattr("bench.formats.steps.lookup", lambda kind, name: spec)
    format_reason, package_reason = table_blockers("made_up", "keras")
    assert "reads onnx, not keras" in format_reason
    assert package_reason.endswith("pip install no_such_package_1")
