"""A provider that was asked for is the one that runs, or the reason is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.isolated import call_isolated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory: Path = tmp_path_factory.mktemp("providers")
    answer: dict[str, Any] = call_isolated(
        "tests.adapters.onnxruntime_child:refusals", directory=directory, timeout_s=100
    )
    return answer


def test_the_cpu_is_the_default_and_named(found: dict[str, Any]) -> None:
    assert found["cpu"] == ["CPUExecutionProvider"]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_the_package_lacks_is_unavailable_with_the_way_out(
    found: dict[str, Any], provider: str
) -> None:
    kind, message, hint = found[provider]
    assert kind == "ExecutionUnavailable"
    assert "the installed package has" in message
    assert "pip install onnxruntime-gpu" in hint


def test_a_provider_without_its_device_is_unavailable(found: dict[str, Any]) -> None:
    kind, message, _ = found["listed, no device"]
    assert kind == "ExecutionUnavailable"
    assert "no CUDA device" in message


def test_a_provider_that_the_library_drops_never_runs_on_the_cpu_under_its_name(found: dict[str, Any]) -> None:
    assert found["the library alone"] == ["CPUExecutionProvider"]
    kind, message, hint = found["listed, a device, dropped by the library"]
    assert kind == "ExecutionUnavailable"
    assert "would run on the CPU" in message
    assert "see the log" in hint
