"""What enters the key of a step besides its input and options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.zoo
from bench.core import plugins
from bench.core.plugins import PluginSpec
from bench.environment.facts import Gpu
from bench.environment.gpu import Answer
from bench.runner import provenance
from bench.runner.provenance import versions_of


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    for remembered in (versions_of, provenance._source_hash, provenance._version_of_program, plugins._is_installed):
        remembered.cache_clear()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> str:
    """A step that reads torch_modules and answers with code for this machine."""
    spec = PluginSpec(
        name="made_up",
        target="converters.to_openvino:STEP",
        summary="for tests",
        accepts=("torch_module",),
        for_this_gpu=True,
        uses=("msgspec", "not_installed_anywhere"),
        programs=("made-up-compiler",),
    )
    monkeypatch.setattr(plugins, "lookup", lambda kind, name: spec)
    monkeypatch.setattr(provenance, "gpus", Answer)
    return spec.name


def test_a_package_that_may_be_there_counts_when_it_is(step: str) -> None:
    versions = dict(versions_of("steps", step))
    assert versions["msgspec"][0].isdigit()
    assert "not_installed_anywhere" not in versions


def test_the_gpus_count_where_the_result_is_for_them(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "gpu" not in dict(versions_of("steps", step))
    gpu = Gpu(name="Example GPU", driver="1", memory_bytes=1, mig=False, compute_capability="9.0")
    monkeypatch.setattr(provenance, "gpus", lambda: Answer(found=(gpu,)))
    versions_of.cache_clear()
    assert dict(versions_of("steps", step))["gpu"] == "Example GPU 9.0"


def test_a_compiler_counts_with_the_first_line_of_its_version(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert dict(versions_of("steps", step))["made-up-compiler"] == "missing"
    _forget()
    compiler = tmp_path / "made-up-compiler"
    compiler.write_text("#!/bin/sh\necho compiler 14.2\necho Copyright\n")
    compiler.chmod(0o755)
    assert dict(versions_of("steps", step))["made-up-compiler"] == "compiler 14.2"


def test_what_reads_a_torch_module_is_made_anew_when_the_zoo_changes(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "net.py").write_text("forward = 1\n")
    monkeypatch.setattr(bench.zoo, "__file__", str(tmp_path / "__init__.py"))
    before = dict(versions_of("steps", step))
    (tmp_path / "net.py").write_text("forward = 2\n")
    _forget()
    after = dict(versions_of("steps", step))
    assert {name for name in after if after[name] != before[name]} == {"zoo source"}


def test_the_tables_name_what_decides_results_beside_the_needed_packages() -> None:
    engine = plugins.lookup("steps", "onnx_to_tensorrt")
    package = plugins.lookup("steps", "exported_program_to_aot_inductor")
    assert engine.for_this_gpu
    assert (package.uses, package.programs) == (("torchao",), ("g++",))
    assert plugins.lookup("steps", "to_openvino").uses == ("torch",)


def test_source_that_reads_no_torch_module_does_not_hang_on_the_zoo() -> None:
    assert "zoo source" not in dict(versions_of("steps", "strip"))
    assert "zoo source" in dict(versions_of("steps", "torch_to_onnx"))
