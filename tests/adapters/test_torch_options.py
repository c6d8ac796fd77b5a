"""Precision, memory layout and compilation of the adapter for PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.isolated import call_isolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CHILD = "tests.adapters.torch_options_child"


def test_options_keep_float32_outputs_that_are_close(tmp_path: Path) -> None:
    found = call_isolated(f"{CHILD}:answers", directory=tmp_path, timeout_s=380)
    assert found.pop("processes left") == 0
    assert {entry["dtype"] for entry in found.values()} == {"float32"}
    everything = found.pop("compile=freezing, precision=bfloat16, channels_last=True")
    assert everything["provider"] == "cpu, channels last, bfloat16, torch.compile freezing"
    assert everything["compiles"]
    assert not any(entry["compiles"] for entry in found.values())
    assert found.pop("channels_last=True")["error"] < 1e-5
    for name, entry in {**found, "everything": everything}.items():
        assert 1e-5 < entry["error"] < 0.05, name


def test_options_that_cannot_be_had_are_refused_with_the_reason(tmp_path: Path) -> None:
    found = call_isolated(f"{CHILD}:refusals", directory=tmp_path, timeout_s=110)
    assert found["no convolution"][0] == "TargetError"
    assert "no weights of convolutions" in found["no convolution"][1]
    assert "types fixed" in found["exported program"][1]
    assert found["no compiler"][0] == "ExecutionUnavailable"
    assert "apt install g++" in found["no compiler"][1]


def test_what_a_callable_writes_into_its_own_buffer_is_copied_and_nothing_else(tmp_path: Path) -> None:
    found = call_isolated(f"{CHILD}:outputs_of_callables", directory=tmp_path)
    assert found == {
        "own_memory": {"stay": True, "read in place": True},
        "one_buffer": {"stay": True, "read in place": False},
        "half_of_one_buffer": {"stay": True, "read in place": False},
    }
