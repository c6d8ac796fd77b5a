"""A search of a server whose truth is known: one that serves in a fixed time, first come, first served."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bench import matrix
from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError, TargetError
from bench.load import SimulatedServer
from bench.measure.search.replicas import ReplicaPlan
from bench.runner import replicas, searching
from bench.runner.backstage import Backstage
from bench.runner.replicas import Candidate, Tried, ranked, replica_plans, topology_options
from bench.runner.searching import Effort, Objective, Searched, keep_search, search_prepared
from bench.runner.watch import Silent
from tests.runner.prepared_cells import prepared
from tests.runner.simulated_deployment import SERVER_CPU_NS, SimulatedDeployment, as_deployment

MATRIX = """
schema: 1
models:
  m: {null: {}, variants: [plain]}
variants:
  plain: {source: "null", adapter: "null"}
serving: {warm_up_s: 0.1, saturation_step_s: 0.5, max_concurrency: 8}
"""
#: p99 of an M/D/1 queue is 10 service times at this load (docs/reference/measurement.md).
RATE_AT_10_SERVICE_TIMES = 0.774 * 500
P99_WITHIN_20_MS = Objective(percent=99, latency_ms=20.0)

Search = Callable[..., Searched]


def _searching_in(directory: Path) -> Search:
    stage = Backstage(crew=cast("Any", None), workshop=cast("Any", None), directory=directory)

    def search(
        objective: Objective = P99_WITHIN_20_MS, budget_s: float | None = 30.0, cpus: int | None = 1
    ) -> Searched:
        effort = Effort(budget_s=budget_s, cpus=cpus)
        return search_prepared(stage, matrix.load(MATRIX), prepared("plain"), objective, effort, Silent())

    return search


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.setattr(searching, "Deployment", as_deployment(SimulatedDeployment))
    return _searching_in(tmp_path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """What a search with half a minute finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "Deployment", as_deployment(SimulatedDeployment))
        return _searching_in(tmp_path_factory.mktemp("search"))()


def test_the_rate_of_a_queue_that_is_known_is_found_and_confirmed(found: Searched) -> None:
    result = found.result
    assert result.x_max_per_s == pytest.approx(500, rel=0.01)
    assert result.confirmed_per_s is not None
    assert 0.85 * RATE_AT_10_SERVICE_TIMES < result.confirmed_per_s < 1.02 * RATE_AT_10_SERVICE_TIMES
    assert found.saturation_steps[0] == (1, pytest.approx(500, rel=0.01))
    assert len(found.points) == len(result.probes)


def test_what_confirmed_the_rate_is_kept_with_what_it_cost(found: Searched) -> None:
    headline = found.served.headline
    assert headline is not None
    assert headline is found.points[-1]
    assert headline.goodput_ratio.value == pytest.approx(0.99, abs=0.01)
    assert headline.server_cpu_us_per_request == pytest.approx(SERVER_CPU_NS / 1e3 / headline.requests)
    assert found.served.server_memory_bytes == SimulatedDeployment.memory_bytes
    assert found.served.notes == ("it is simulated",)
    assert [flag.name for flag in found.served.flags] in ([], ["noisy-co-located"])


def test_a_median_is_searched_for_as_a_median(search: Search) -> None:
    """Of an M/D/1 queue the median reaches two service times near a load of 0.73."""
    found = search(Objective(percent=50, latency_ms=4.0))
    assert found.result.confirmed_per_s is not None
    assert 300 < found.result.confirmed_per_s < 400
    assert all(probe.p99_ms is not None and probe.p99_ms < 20 for probe in found.result.probes if not probe.saturated)


def test_an_objective_below_the_service_time_has_no_rate(search: Search) -> None:
    found = search(Objective(percent=99, latency_ms=1.0))
    assert found.result.confirmed_per_s is None
    assert found.served.headline is None
    assert "no rate keeps it" in found.result.reason


def test_a_budget_bounds_each_load(search: Search) -> None:
    found = search(budget_s=2.0)
    assert all(probe.requests <= max(100, round(probe.rate_per_s * 2.0 / 5)) for probe in found.result.probes)
    assert "search-shortened" in {flag.name for flag in found.result.flags}


def test_a_server_that_answers_nothing_is_said(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = SimulatedServer(service_ns=1_000_000, endings=dict.fromkeys(range(100_000), 503))
    monkeypatch.setattr(SimulatedDeployment, "server", refusing)
    with pytest.raises(TargetError, match="answered nothing in a closed loop"):
        search()


def test_more_processors_than_there_are_cannot_be_had(search: Search) -> None:
    with pytest.raises(MatrixError, match="--cpus 4096"):
        search(cpus=4096)


def test_what_was_found_is_kept_below_the_results(found: Searched, tmp_path: Path) -> None:
    path = keep_search(tmp_path / "results", found, found.cell_id)
    assert path.parent == tmp_path / "results" / "searches"
    stored = json.loads(path.read_text())
    assert stored["objective"] == {"percent": 99, "latency_ms": 20.0, "error_budget_ratio": 0.0}
    assert stored["served"]["search"]["confirmed_per_s"] == found.result.confirmed_per_s


def test_every_way_to_use_the_processors_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "affinity", lambda: frozenset(range(4)))
    plans = replica_plans(None, [2.0, 0.0])
    assert ReplicaPlan(workers=4, threads=1, batching_delay_ms=2.0) in plans
    assert ReplicaPlan(workers=1, threads=4) in plans
    assert all(plan.workers * plan.threads <= 4 for plan in plans)
    assert {plan.workers * plan.threads for plan in replica_plans(1, [])} == {1}
    with pytest.raises(MatrixError, match="there are 4 processors"):
        replica_plans(5, [])


def test_a_plan_becomes_options_of_the_topology() -> None:
    waits = ReplicaPlan(workers=2, threads=1, batching_delay_ms=2.0)
    assert dict(topology_options(waits, (("max_batch", 4),))) == {
        "balance": "shared_memory",
        "batch_delay_ms": 2.0,
        "max_batch": 4,
        "workers": 2,
    }
    at_once = ReplicaPlan(workers=1, threads=2)
    assert dict(topology_options(at_once, (("balance", "reuse_port"),))) == {"balance": "reuse_port", "workers": 1}


def test_ways_are_ranked_and_those_that_failed_come_last(found: Searched) -> None:
    slower = replace(found, served=replace(found.served, search=replace(found.result, confirmed_per_s=100.0)))
    plans = [ReplicaPlan(workers=workers, threads=1) for workers in (1, 2, 3)]
    tried = [
        Tried(plan=plans[0], problem="out of memory"),
        Tried(plan=plans[1], searched=slower),
        Tried(plan=plans[2], searched=found),
    ]
    assert [each.plan.workers for each in ranked(tried)] == [3, 2, 1]


class _Workshop:
    def __init__(self, inputs: tuple[TensorSpec, ...]) -> None:
        self._inputs = inputs

    def prepare(self, cells: Any) -> Any:
        made = prepared("plain")
        return {
            cell.id: replace(made, cell=cell, artifact=replace(made.artifact, inputs=self._inputs)) for cell, _ in cells
        }


@pytest.mark.parametrize(("batch", "delays"), [("batch", {0.0, 2.0}), (1, {0.0})])
def test_delays_are_tried_only_where_requests_can_be_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: Any, delays: set[float]
) -> None:
    workshop = _Workshop((TensorSpec(name="x", dtype="float32", shape=(batch, 4)),))

    @contextlib.contextmanager
    def backstage(*_: Any, **__: Any) -> Any:
        yield Backstage(crew=cast("Any", None), workshop=cast("Any", workshop), directory=tmp_path)

    tried_delays = []

    def search_prepared(stage: Any, matrix: Any, prepared: Any, objective: Any, effort: Effort, watcher: Any) -> Any:
        tried_delays.append(prepared.cell.topology_options)
        raise TargetError("not here")

    monkeypatch.setattr(replicas, "backstage", backstage)
    monkeypatch.setattr(replicas, "search_prepared", search_prepared)
    loaded = matrix.load(MATRIX.replace("serving:", "axes: {topology: [simple]}\nserving:"))
    (cell,) = loaded.cells
    candidates = [
        Candidate(
            plan=ReplicaPlan(workers=1, threads=1, batching_delay_ms=delay),
            matrix=loaded,
            cell=replace(cell, batch=1 + index),
            reference=cell,
        )
        for index, delay in enumerate((0.0, 2.0))
    ]
    tried = replicas.try_replicas(candidates, P99_WITHIN_20_MS, Effort(budget_s=10.0), Silent())
    assert {each.plan.batching_delay_ms for each in tried} == delays
    assert {each.problem for each in tried} == {"not here"}
