"""A target that remembers its answers by input is found out by the inputs that its process has not seen."""

from __future__ import annotations

import pytest

from tests.runner.conftest import Run, null_matrix

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow


def test_a_target_that_remembers_its_answers_is_invalid_and_one_that_does_not_is_ok(run_null: Run) -> None:
    text = null_matrix({"good": "repeat_ratio: 1.0", "bad": "repeat_ratio: 0.3"}, model="service_ms: 0.5")
    text = text.replace("rounds: 2", "rounds: 4").replace("max_rounds: 2", "max_rounds: 4")
    records = run_null(text.replace("input_pool: 2", "input_pool: 8"))
    assert records["good"].outcome.status == "ok"
    assert records["bad"].outcome.status == "invalid"
    assert "invalid-caching" in records["bad"].outcome.reason
