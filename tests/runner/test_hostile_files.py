"""Corrupt and hostile model files: each costs one line with the cause and a next step, whoever opens it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.isolated import call_isolated
from tests.runner.hostile_files import MARK

_GOOD_AND_BAD = """\
schema: 1
name: mixed
models:
  bad: {path: PATH}
  good: {null: {service_ms: 0.05}}
measurement: {rounds: 1, max_rounds: 1, blocks: 2, block_min_calls: 3, block_min_s: 0.001, warm_up_min_calls: 1,
              warm_up_min_s: 0.001, warm_up_max_s: 0.02, input_pool: 1}
"""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file of `tests.runner.hostile_files`, the exit code that it ends with, and what the line must say."""

    name: str
    says: str
    code: int = 3
    status: str = "failed"


FILES = (
    Hostile(name="truncated_onnx", says="not a readable onnx model"),
    Hostile(name="empty_onnx", says="an empty file"),
    Hostile(name="text_onnx", says="not a readable onnx model"),
    Hostile(name="onnx_named_pb", says="frozen graph"),
    Hostile(name="onnx_data_above", says=r"tensor 'w' lie in '\.\./secret': outside the model's directory"),
    Hostile(name="onnx_data_absolute", says="tensor 'w' lie in '/etc/hostname': outside the model's directory"),
    Hostile(name="onnx_data_behind_a_link", says="tensor 'w' lie in 'data': reached through a link"),
    Hostile(name="onnx_size_bomb", says="100000000000 bytes required"),
    Hostile(name="onnx_nested_functions", says="its functions call each other more than 100 deep"),
    Hostile(name="onnx_doubling_functions", says="stand for more than 1,000,000 operators"),
    Hostile(name="recursive_graph", says="SIGSEGV", status="crashed"),
    Hostile(name="truncated_saved_model", says="not a readable saved_model"),
    Hostile(name="saved_model_without_variables", says="the values of its variables are missing"),
    Hostile(name="keras_lambda", says="Python code in a Lambda layer", code=5, status="refused"),
    Hostile(name="keras_foreign_class", says="the class 'mkdir' of the module 'os'"),
    Hostile(name="keras_pickled_weights", says="file signature not found"),
    Hostile(name="keras_size_bomb", says="out of memory|OOM", status="oom"),
    Hostile(name="keras_zip_bomb", says="40 GB are packed into 38.9 MB"),
    Hostile(name="truncated_keras", says="no zip archive"),
    Hostile(name="corrupt_tflite", says="not a readable tflite model"),
    Hostile(name="openvino_entities", says="declares a document type of its own"),
    Hostile(name="pickled_pt", says=r"the suffix '\.pt' names no format that can be run", code=2),
    Hostile(name="evil_pt2", says="runs code when it is loaded", code=5, status="refused"),
    Hostile(name="foreign_factory", says="'os:mkdir', which is not one of bench.zoo"),
    Hostile(name="python_function", says="runs code when it is loaded", code=5, status="refused"),
)
hostile_files = pytest.mark.parametrize("hostile", FILES, ids=[file.name for file in FILES])
#: Inspecting reads a file by the same parsers in the same kind of child as running it: one file of each kind of end.
_INSPECTED = (
    "truncated_onnx",
    "onnx_data_behind_a_link",
    "onnx_doubling_functions",
    "recursive_graph",
    "saved_model_without_variables",
    "keras_lambda",
    "keras_size_bomb",
    "corrupt_tflite",
    "openvino_entities",
    "pickled_pt",
    "evil_pt2",
)


def bench(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line as a user has it, in a process and a directory of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=directory,
        env={**os.environ, "DEPLOYBENCH_CACHE": str(directory / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The path of each file by its name, all made by one process of their own."""
    directory = tmp_path_factory.mktemp("hostile")
    made: dict[str, str] = call_isolated(
        "tests.runner.hostile_files:make_all",
        names=[file.name for file in FILES],
        directory=directory,
        timeout_s=240,
    )
    return made


@pytest.mark.parametrize("hostile", [file for file in FILES if file.name in _INSPECTED], ids=_INSPECTED)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_inspecting_it_is_one_line_of_cause_and_one_of_advice(
    hostile: Hostile, paths: dict[str, str], tmp_path: Path
) -> None:
    told = bench(tmp_path, "inspect", paths[hostile.name])
    assert told.returncode == hostile.code, told.stderr
    cause, advice = told.stderr.splitlines()
    assert re.fullmatch(rf"error \(\w+\): .*({hostile.says}).*", cause)
    assert Path(paths[hostile.name]).name in cause
    assert re.fullmatch("  next: .{10,}", advice)
    assert told.stdout == ""
    assert not (tmp_path / MARK).exists(), "code out of the file was run"


@hostile_files
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_running_it_ends_every_cell_with_the_same_cause_and_advice(
    hostile: Hostile, paths: dict[str, str], tmp_path: Path
) -> None:
    told = bench(tmp_path, "run", paths[hostile.name], "--quick", "--json", "--no-report")
    assert told.returncode == hostile.code, told.stderr
    assert "Traceback" not in told.stdout + told.stderr
    assert not (tmp_path / MARK).exists(), "code out of the file was run"
    if hostile.code == 2:
        assert re.search(hostile.says, told.stderr)
        assert "  next: " in told.stderr
        return
    cells = json.loads(told.stdout)["cells"]
    assert cells
    for cell in cells:
        assert cell["status"] == hostile.status or cell["status"] == "skipped"
        if cell["status"] == hostile.status:
            assert re.search(hostile.says, cell["reason"]), cell["reason"]
            assert "\n" not in cell["reason"]
            assert cell["hint"]
    assert hostile.status in {cell["status"] for cell in cells}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["recursive_graph", "onnx_doubling_functions"])
def test_a_good_model_beside_it_is_measured(name: str, paths: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(_GOOD_AND_BAD.replace("PATH", paths[name]))
    told = bench(tmp_path, "run", "mixed.yaml", "--json", "--no-report")
    assert told.returncode == 3, told.stderr
    statuses: dict[str, set[str]] = {}
    for cell in json.loads(told.stdout)["cells"]:
        statuses.setdefault(cell["model"], set()).add(cell["status"])
    assert statuses["good"] == {"ok"}
    assert "ok" not in statuses["bad"]
