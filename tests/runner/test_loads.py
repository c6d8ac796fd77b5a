"""Loads on a deployment: what is asked of the client, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.cell import Limits, Serving
from bench.core.errors import MatrixError
from bench.load import Arrivals
from bench.runner.deployment import Settings
from bench.runner.loads import Loads
from tests.runner.simulated_deployment import SimulatedDeployment


class Observed(SimulatedDeployment):
    """Remembers what was asked, and how long it would have been waited for."""

    asked_with: dict[str, Any]
    deadline_s = 0.0

    def ask(self, verb: str, body: Mapping[str, Any] | None = None, *, deadline_s: float) -> dict[str, Any]:
        self.asked_with, self.deadline_s = dict(body or {}), deadline_s
        return super().ask(verb, body, deadline_s=deadline_s)


@pytest.fixture
def deployment(tmp_path: Path) -> Observed:
    settings = Settings(servers_limits=Limits(), clients_limits=Limits(), start_deadline_s=1.0)
    return Observed(None, None, tmp_path, settings)


@pytest.fixture
def loads(deployment: Observed, tmp_path: Path) -> Loads:
    return Loads(deployment, Serving(timeout_s=1.0), tmp_path, seed=0)  # type: ignore[arg-type]


def test_a_slow_load_is_waited_for_as_long_as_it_takes(loads: Loads, deployment: Observed) -> None:
    loads.open(Arrivals(kind="constant", rate_per_s=0.1, count=30), x_max_per_s=0.3)
    assert deployment.deadline_s > 290


def test_a_trace_without_a_request_in_its_time_is_the_users_mistake(loads: Loads, tmp_path: Path) -> None:
    np.save(tmp_path / "late.npy", np.array([60.0, 61.0]))
    with pytest.raises(MatrixError, match="no request is due within 120 s") as refused:
        loads.open(Arrivals(kind="trace", trace_path=str(tmp_path / "late.npy"), duration_s=5.0), x_max_per_s=100.0)
    assert refused.value.hint is not None


def test_of_a_trace_as_many_answers_are_looked_at_as_of_any_load(
    loads: Loads, deployment: Observed, tmp_path: Path
) -> None:
    np.save(tmp_path / "trace.npy", np.arange(2_000) / 400)
    loads.open(Arrivals(kind="trace", trace_path=str(tmp_path / "trace.npy")), x_max_per_s=500.0)
    assert deployment.asked_with["keep_every"] == 10


def test_no_more_processes_send_than_the_client_has_processors(loads: Loads, deployment: Observed) -> None:
    loads.open(Arrivals(kind="constant", rate_per_s=40_000, count=100), x_max_per_s=500.0)
    assert deployment.asked_with["processes"] == 1


def test_a_ramp_is_judged_by_its_highest_rate(loads: Loads) -> None:
    ramp = Arrivals(kind="ramp", rate_per_s=10, end_rate_per_s=490, count=2_500)
    assert loads.open(ramp, x_max_per_s=500.0).point.p99_ms.value is None


def test_answers_of_a_closed_loop_are_looked_at_where_it_is_the_cells_own_load(
    loads: Loads, deployment: Observed
) -> None:
    loads.closed(2, max_requests=400)
    assert deployment.asked_with["keep_every"] == 0
    loads.closed(2, max_requests=400, checked=True)
    assert deployment.asked_with["keep_every"] == 2
