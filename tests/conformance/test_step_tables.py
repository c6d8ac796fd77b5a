"""What the parent reads of the steps, without any framework."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import converters
import optimizers
import servers
from bench.core import plugins
from bench.core.artifact import FORMATS

_STEPS = sorted(plugins.table("steps"))
_FRAMEWORKS = ("tensorflow", "keras", "torch", "onnx", "onnxruntime", "onnxscript", "tf2onnx", "numpy")


@pytest.mark.parametrize("table", [optimizers.STEPS, converters.STEPS, servers.TOPOLOGIES])
def test_tables_are_sorted_by_name(table: tuple[plugins.PluginSpec, ...]) -> None:
    names = [spec.name for spec in table]
    assert names == sorted(names)


@pytest.mark.parametrize("name", _STEPS)
def test_a_table_line_says_what_goes_in_and_out(name: str) -> None:
    spec = plugins.lookup("steps", name)
    assert spec.summary
    assert spec.needs
    assert spec.accepts
    assert {*spec.accepts, spec.produces} <= set(FORMATS)


@pytest.mark.parametrize("name", _STEPS)
def test_options_are_a_frozen_dataclass_with_defaults_that_json_can_hold(name: str) -> None:
    options = plugins.load("steps", name).Options()
    assert options.__dataclass_params__.frozen
    json.dumps(dataclasses.asdict(options))


@pytest.mark.parametrize("name", _STEPS)
def test_a_step_that_can_run_here_has_no_blockers(name: str) -> None:
    spec = plugins.lookup("steps", name)
    if spec.missing_packages():
        pytest.skip(f"not installed: {', '.join(spec.missing_packages())}")
    step = plugins.load("steps", name)
    assert list(step.blockers(spec.accepts[0], step.Options())) == []


@pytest.mark.parametrize("name", _STEPS)
def test_a_format_that_the_step_cannot_read_is_a_blocker_that_names_the_right_one(name: str) -> None:
    step = plugins.load("steps", name)
    (reason,) = step.blockers("null", step.Options())
    assert plugins.lookup("steps", name).accepts[0] in reason


@pytest.mark.parametrize("name", _STEPS)
def test_a_missing_package_is_a_blocker_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = plugins.load("steps", name)
    spec = plugins.lookup("steps", name)
    monkeypatch.setattr(plugins, "_is_installed", lambda package: package != spec.needs[-1])
    (reason,) = step.blockers(spec.accepts[0], step.Options())
    assert plugins.install_hint(spec.needs[-1:]) in reason


def test_a_wheel_without_graph_transforms_blocks_quantize_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise AssertionError('blockers must not import it')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_is_installed", lambda package: True)
    importlib.invalidate_caches()
    step = plugins.load("steps", "quantize_weights")
    (reason,) = step.blockers("frozen_graph", step.Options())
    assert "no graph transforms" in reason
    assert "pip install" in reason


def test_a_minimum_size_below_one_blocks_quantize_weights() -> None:
    step = plugins.load("steps", "quantize_weights")
    assert any("minimum_size" in reason for reason in step.blockers("frozen_graph", step.Options(minimum_size=0)))


def test_options_that_contradict_each_other_block_a_step() -> None:
    static = plugins.load("steps", "quantize_static")
    assert not static.blockers("onnx", static.Options(symmetric=True))
    (reason,) = static.blockers("onnx", static.Options(symmetric=True, activation_type="QUInt8"))
    assert "never symmetric" in reason
    compress = plugins.load("steps", "compress_openvino")
    assert not compress.blockers("openvino_ir", compress.Options(mode="INT4_SYM", group_size=16, all_layers=True))
    for unheard in ({"group_size": 16}, {"all_layers": True, "mode": "INT8_SYM"}):
        (reason,) = compress.blockers("openvino_ir", compress.Options(**unheard))
        assert "for INT4_SYM alone" in reason


def test_loading_every_step_and_topology_imports_no_framework() -> None:
    program = f"""
import sys
from bench.core import plugins
for kind in ("steps", "topologies"):
    for name, spec in plugins.table(kind).items():
        plugin = plugins.load(kind, name)
        if kind == "steps":
            plugin.blockers(spec.accepts[0], plugin.Options())
sys.exit(", ".join(name for name in {_FRAMEWORKS!r} if name in sys.modules) or 0)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
