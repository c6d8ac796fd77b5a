"""Which of a file's operators XNNPACK computes, as LiteRT's adapter tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.isolated import call_isolated

pytestmark = pytest.mark.slow


def test_the_provider_says_how_much_of_the_file_xnnpack_took(tmp_path: Path) -> None:
    found = call_isolated("tests.adapters.litert_child:providers", directory=tmp_path)
    assert found == {
        "taken whole": ["CPU", "CPU, XNNPACK (2 of 2 operators in 1 delegate)"],
        "taken in two parts": ["CPU", "CPU, XNNPACK (3 of 4 operators in 2 delegates)"],
        "not taken": ["CPU", "CPU, LiteRT's own kernels"],
        "16-bit activations": ["CPU", "CPU, LiteRT's own kernels"],
    }
