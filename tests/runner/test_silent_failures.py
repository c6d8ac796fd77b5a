"""Six tools that end with success and a model that is wrong or cannot be run: the gate stops each of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import matrix, report, runner
from bench.core import plugins
from bench.core.record import Record
from bench.core.results import RANKED_STATUS
from bench.records import frame, open_run
from tests.conformance.isolated import call_isolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

_ENTRY_POINTS = """
[deploybench.steps]
naive_tflite = naive_tools:TO_TFLITE_SPEC
naive_onnx = naive_tools:ERFC_SPEC
naive_int8 = naive_tools:WEIGHTS_SPEC
naive_torch_onnx = naive_tools:CLASH_SPEC
naive_torchscript = naive_tools:OPTIMIZED_SPEC
one_weight = naive_tools:ONE_WEIGHT_SPEC
"""

_NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embedding = torch.nn.Embedding(200, 16)
        self.convolution = torch.nn.Conv2d(1, 16, 3)
        self.head = torch.nn.Linear(16, 8)

    def forward(self, ids):
        values = self.embedding(ids).unsqueeze(1)
        return self.head(torch.relu(self.convolution(values)).mean((2, 3)))

def build():
    return Net()

build.inputs = {"ids": ("int64", ("batch", 8))}
"""

_MATRIX = """
schema: 1
name: silent
models:
  keras_net:
    path: model.keras
    variants: [keras, naive-tflite, naive-onnx, naive-int8, onnx, one-weight, onnx-on-tensorrt, onnx-on-cuda]
  torch_net:
    path: net.py:build
    trust: true
    variants: [callable, naive-torch-onnx, naive-torchscript]
variants:
  naive-tflite: {source: keras, steps: [naive_tflite], adapter: litert}
  naive-onnx: {source: keras, steps: [naive_onnx], adapter: onnxruntime}
  naive-int8: {source: keras, steps: [keras_to_saved_model, freeze, naive_int8], adapter: tensorflow}
  one-weight: {source: keras, steps: [keras_to_saved_model, saved_model_to_onnx, one_weight], adapter: onnxruntime}
  onnx-on-tensorrt:
    {source: keras, steps: [keras_to_saved_model, saved_model_to_onnx], adapter: {onnxruntime: {provider: tensorrt}}}
  onnx-on-cuda:
    {source: keras, steps: [keras_to_saved_model, saved_model_to_onnx], adapter: {onnxruntime: {provider: cuda}}}
  naive-torch-onnx: {source: python_callable, steps: [naive_torch_onnx], adapter: onnxruntime}
  naive-torchscript: {source: python_callable, steps: [naive_torchscript], adapter: torchscript}
measurement: {rounds: 1, max_rounds: 1, blocks: 2, block_min_calls: 2, block_min_s: 0.001, warm_up_min_calls: 1,
              warm_up_min_s: 0.001, warm_up_max_s: 0.05, input_pool: 2}
"""


def build_model(*, directory: Path) -> str:
    """A small network with batch normalization and gelu; in a process of its own."""
    from tests.conformance.step_sources import keras_model

    return keras_model(directory).path


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All variants measured in one run, with the naive steps installed as another distribution."""
    place = tmp_path_factory.mktemp("silent")
    site = place / "site"
    metadata = site / "naive_tools-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: naive-tools\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    shutil.copy(Path(__file__).with_name("naive_tools.py"), site)
    (place / "net.py").write_text(_NET)
    call_isolated("tests.runner.test_silent_failures:build_model", directory=place, timeout_s=120)
    (place / "matrix.yaml").write_text(_MATRIX)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPLOYBENCH_CACHE", str(place / "cache"))
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])))
        plugins.table.cache_clear()
        options = runner.RunOptions(results_dir=place / "results")
        result = runner.run(matrix.load(place / "matrix.yaml"), options, runner.Silent())
        yield result.run_dir
        sys.modules.pop("naive_tools", None)
    plugins.table.cache_clear()


@pytest.fixture(scope="module")
def rows(run_dir: Path) -> dict[str, Record]:
    """The records by variant."""
    found, damages = open_run(run_dir).records()
    assert not damages
    return {record.cell.variant.name: record for record in found}


def assert_not_ranked(row: Record, status: str) -> None:
    assert row.outcome.status == status, row.outcome
    assert status != RANKED_STATUS
    assert row.outcome.reason
    assert "\n" not in row.outcome.reason


def test_the_models_themselves_are_sound(rows: dict[str, Record]) -> None:
    assert {name: rows[name].outcome.status for name in ("keras", "onnx", "callable")} == dict.fromkeys(
        ("keras", "onnx", "callable"), "ok"
    )


def test_a_tflite_file_without_its_weights_is_invalid(rows: dict[str, Record]) -> None:
    assert_not_ranked(rows["naive-tflite"], "invalid")
    assert "not finite" in rows["naive-tflite"].outcome.reason


def test_an_onnx_file_with_an_operator_that_does_not_exist_fails_when_it_is_opened(rows: dict[str, Record]) -> None:
    assert_not_ranked(rows["naive-onnx"], "failed")
    assert "Erfc" in rows["naive-onnx"].outcome.reason


def test_quantized_variances_are_invalid(rows: dict[str, Record]) -> None:
    assert_not_ranked(rows["naive-int8"], "invalid")
    assert "not finite" in rows["naive-int8"].outcome.reason


def test_an_output_with_the_name_of_an_inner_value_fails_when_it_is_opened(rows: dict[str, Record]) -> None:
    assert_not_ranked(rows["naive-torch-onnx"], "failed")
    assert "embedding" in rows["naive-torch-onnx"].outcome.reason


def test_torchscript_optimized_before_it_was_saved_fails_when_it_is_opened(rows: dict[str, Record]) -> None:
    assert_not_ranked(rows["naive-torchscript"], "failed")
    assert "required keyword attribute" in rows["naive-torchscript"].outcome.reason


@pytest.mark.parametrize("variant", ["onnx-on-tensorrt", "onnx-on-cuda"])
def test_a_provider_that_would_fall_back_to_the_cpu_is_skipped_without_a_number(
    rows: dict[str, Record], variant: str
) -> None:
    assert_not_ranked(rows[variant], "skipped")
    assert "execution unavailable" in rows[variant].outcome.reason
    assert rows[variant].statistics is None
    assert rows[variant].artifact is not None


def test_a_single_changed_weight_is_invalid_and_in_no_ranking_and_no_export(
    rows: dict[str, Record], run_dir: Path
) -> None:
    row = rows["one-weight"]
    assert_not_ranked(row, "invalid")
    assert "relative error" in row.outcome.reason
    cells = {cell["variant"]: cell for cell in json.loads(report.run_json(run_dir))["cells"]}
    assert all(cells["onnx"][key] for key in ("p50_ms", "ratio"))
    assert not any(cells["one-weight"][key] for key in ("p50_ms", "p99_ms", "ratio", "verdict"))
    assert "one-weight" in report.write_markdown(run_dir)
    table = frame([run_dir]).set_index("variant")
    assert table["p50_ms"].notna()["onnx"]
    assert table["p50_ms"].isna()["one-weight"]
    assert table["ratio"].isna()["one-weight"]
