"""Precision and dynamic quantization of the adapter for OpenVINO."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.processor import cpu_flags
from tests.conformance.isolated import call_isolated

pytestmark = pytest.mark.slow

CHILD = "tests.adapters.openvino_child"
HAS_BF16 = bool({"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_flags()))


def test_options_are_read_back_from_the_compiled_model(tmp_path: Path) -> None:
    found = call_isolated(f"{CHILD}:answers", directory=tmp_path)
    plain, dynamic = found[""], found["dynamic_quantization=True"]
    assert plain["provider"] == "CPU f32"
    assert dynamic["provider"] == "CPU f32, dynamic quantization"
    assert max(plain["error"], dynamic["error"]) < 1e-5
    assert plain["dtypes"] == dynamic["dtypes"] == ["float32"]


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bfloat16")
def test_bfloat16_is_computed_in_and_outputs_stay_float32(tmp_path: Path) -> None:
    found = call_isolated(f"{CHILD}:answers", directory=tmp_path)["precision=bf16"]
    assert found["provider"] == "CPU bf16"
    assert 1e-5 < found["error"] < 0.05
    assert found["dtypes"] == ["float32"]


def test_dynamic_quantization_reaches_products_with_compressed_weights(tmp_path: Path) -> None:
    assert call_isolated(f"{CHILD}:quantized_activations", directory=tmp_path)["difference"] > 0


def test_another_precision_than_was_asked_for_is_refused(tmp_path: Path) -> None:
    kind, message, hint = call_isolated(f"{CHILD}:refusal", directory=tmp_path)
    assert kind == "TargetError"
    assert message == "OpenVINO computes on CPU f32, bf16 was asked for"
    assert "choose another precision" in hint
