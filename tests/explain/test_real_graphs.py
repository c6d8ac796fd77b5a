"""Faults that were put into real models are found where they are, and real profiles explain a real gap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.isolated import call_isolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_VARIANTS = """variants={
  float: {source: onnx, adapter: onnxruntime},
  signed: {source: onnx, steps: [{quantize_dynamic: {weight_type: QInt8}}], adapter: onnxruntime,
           tolerance: {relative_error: null, cosine: 0.98}}}"""


def test_a_changed_weight_of_an_onnx_file_is_the_first_tensor_that_differs(tmp_path: Path) -> None:
    found = call_isolated("tests.explain.real_graphs:diverge_onnx", directory=tmp_path, timeout_s=120)
    changed, same = found["changed"], found["same"]
    assert changed["outputs"][0]["problem"]
    assert changed["first"]["tensor"] == "kernel1"
    assert changed["jump"]["tensor"] == "kernel1"
    assert changed["compared"] == changed["tensors"]
    assert same["first"] is None
    assert all(each["relative_error"] == 0 for each in same["worst"])


def test_quantized_files_are_compared_through_their_renamed_tensors(tmp_path: Path) -> None:
    found = call_isolated("tests.explain.real_graphs:diverge_quantized", directory=tmp_path, timeout_s=120)
    for kind in ("dynamic", "static"):
        errors = {each["tensor"]: each for each in found[kind]["worst"]}
        assert found[kind]["compared"] > 10, kind
        assert found[kind]["first"]["reference_tensor"] == "kernel0", kind  # rounded, as the tolerance here forbids
        assert 0 < found[kind]["outputs"][0]["relative_error"] < 0.1, kind
        assert all(each["relative_error"] < 0.1 for each in errors.values()), kind
    assert any("Conv, rounded" in sentence for sentence in found["static"]["words"])


def test_no_question_asks_for_more_than_a_few_tensors(tmp_path: Path) -> None:
    """A deadline holds for a question: one for a whole network would end large models that are well."""
    found = call_isolated("tests.explain.real_graphs:diverge_onnx", directory=tmp_path, timeout_s=120)["same"]
    assert found["phases"][:3] == ["outputs of the reference", "outputs", "tensors"]
    assert found["phases"].count("tensors") == 1 + -(-found["compared"] // 32)


def test_a_changed_constant_of_a_frozen_graph_is_the_first_tensor_that_differs(tmp_path: Path) -> None:
    found = call_isolated("tests.explain.real_graphs:diverge_frozen", directory=tmp_path, timeout_s=200)
    assert found["found"]["outputs"][0]["problem"]
    assert found["found"]["first"]["node"] == found["kernel"]
    assert found["found"]["first"]["operator"] == "Const"


def bench_explain(directory: Path, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "explain", *words, "--json"],
        cwd=directory,
        env={**os.environ, "DEPLOYBENCH_CACHE": str(directory / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("level", "count"), [(4, 1), (1, 0)])
def test_weights_of_few_bits_count_as_integers_only_where_the_file_says_so(
    tmp_path: Path, level: int, count: int
) -> None:
    path = call_isolated("tests.explain.real_graphs:make_product", directory=tmp_path, timeout_s=60)
    steps = f"[{{quantize_matmul: {{bits: 8, accuracy_level: {level}}}}}]"
    variants = f"variants={{float: {{source: onnx, adapter: onnxruntime}}, nbits: {{source: onnx, steps: {steps}, "
    tolerance = "adapter: onnxruntime, tolerance: {relative_error: null, cosine: 0.9, min_size_ratio: null}}}"
    found = bench_explain(tmp_path, path, "float", "nbits", "--set", variants + tolerance)
    assert [each["operator"] for each in found["b"]["operators"]] == ["MatMulNBits"]
    assert found["b"]["tells_formats"]
    assert found["b"]["integer"]["count"] == count


def test_signed_convolutions_are_named_and_cover_the_gap(tmp_path: Path) -> None:
    path = call_isolated("tests.explain.real_graphs:make_convolutions", directory=tmp_path, timeout_s=60)
    found = bench_explain(tmp_path, path, "float", "signed", "--set", _VARIANTS)
    assert found["kinds"][0]["kind"] == "Convolution"
    assert [each["operator"] for each in found["kinds"][0]["b_operators"]] == ["ConvInteger"]
    assert found["ratio"] > 1.5
    assert 0.8 <= found["coverage_ratio"] <= 1.25
    assert any("ConvInteger takes" in sentence for sentence in found["words"])
    assert found["b"]["integer"]["ratio"] > 0.5
