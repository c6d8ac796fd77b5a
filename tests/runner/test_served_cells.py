"""Cells behind a server, from the matrix to the record: what is measured, and what becomes of every kind of fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import matrix, records, runner
from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.record import Record
from bench.core.served import Served
from bench.core.serving import Service
from bench.zoo.null import Null
from servers.simple import Simple
from tests.examples.faulty_topology import SPEC
from tests.runner.served import served_matrix
from tests.servers.running import deployed, site_in

#: Real process trees through the whole harness: seconds each.
pytestmark = pytest.mark.slow

RunServed = Callable[..., Record]


@pytest.fixture
def run_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunServed]:
    """Run one served cell in a results directory of its own; the faulty topology is known meanwhile."""
    monkeypatch.setenv("DEPLOYBENCH_CACHE", str(tmp_path / "cache"))
    known = plugins.table("topologies")
    monkeypatch.setattr(
        plugins, "table", lambda kind: {**known, SPEC.name: SPEC} if kind == "topologies" else real(kind)
    )

    def run(topology: str, *, isolation: str = "auto", **words: str) -> Record:
        """A busy machine makes the client the limit, and the record says so: three tries, or it is inconclusive."""
        for attempt in range(3):
            results_dir = tmp_path / f"results-{attempt}"
            options = runner.RunOptions(results_dir=results_dir, isolation=isolation)  # type: ignore[arg-type]
            result = runner.run(matrix.load(served_matrix(topology, **words)), options, runner.Silent())
            (record,) = result.records
            if not record.outcome.reason.startswith("CLIENT-LIMITED"):
                (tmp_path / "results").symlink_to(results_dir)
                return record
        pytest.skip(f"inconclusive, this machine is too busy: {record.outcome.reason}")

    return run


real = plugins.table


def served_of(record: Record) -> Served:
    assert record.served is not None
    return record.served


def test_a_served_cell_is_measured_whole(run_served: RunServed, tmp_path: Path) -> None:
    record = run_served("faulty")
    assert record.outcome.status == "ok", record.outcome
    served = served_of(record)
    headline = served.headline
    assert headline is not None
    assert (headline.requests, headline.answered, headline.wrong) == (200, 200, 0)
    assert headline.checked > 0
    assert headline.p50_ms.value is not None
    assert served.agreement in {"bitwise", "within tolerance"}
    assert served.in_process_p50_ms.value is not None
    assert served.server_cost_ms.value is not None
    assert served.server_cost_ms.value > 0
    assert served.x_max_per_s is not None
    assert served.x_max_per_s > 50
    assert served.server_received == served.client_sent
    assert record.fidelity is not None
    assert record.fidelity.passed
    (run_dir,) = records.run_paths(tmp_path / "results")
    assert len(records.stored_requests(run_dir, served.samples_path).planned_ns) == 200
    assert not (run_dir / "served").exists() or not any((run_dir / "served").iterdir())


def test_the_parts_of_a_request_add_up_to_its_latency(run_served: RunServed) -> None:
    attribution = served_of(run_served("faulty")).attribution
    assert attribution is not None
    assert attribution.requests > 150
    assert attribution.unexplained_ratio is not None
    assert attribution.unexplained_ratio < 0.05
    assert attribution.infer_ms is not None
    assert attribution.infer_ms > 1  # the server sleeps a millisecond in it


def test_where_namespaces_cannot_be_used_all_share_the_hosts_loopback(run_served: RunServed) -> None:
    assert run_served("faulty", isolation="group").outcome.status == "ok"


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("{fault: bug}", "failed", "topology 'faulty' cannot say what to start: KeyError"),
        ("{fault: exits}", "failed", "server has ended: exit code 1 in service: no licence"),
        ("{fault: never ready}", "timeout", "server was not ready within"),
        ("{fault: decoy}", "failed", "another program answers on port"),
        ("{fault: other model}", "failed", "it serves another model"),
        ("{fault: no outputs}", "failed", "no model"),
        ("{fault: wrong}", "invalid", "invalid-agreement"),
        ("{fault: wrong, at: 150.0}", "invalid", "invalid-wrong-answers"),
        ("{fault: every 33rd, at: 100.0}", "failed", " errors, 0 timed out, 0 disconnected"),
        ("{fault: SIGKILL, at: 90.0}", "crashed", "server has ended: SIGKILL"),
        ("{fault: SIGSTOP, at: 300.0}", "failed", " timed out"),
        ("{fault: slow on new inputs}", "invalid", "invalid-caching"),
        ("{fault: blocked}", "skipped", "faulty: it is not installed: apt-get install nothing"),
    ],
)
def test_a_fault_has_its_own_verdict(run_served: RunServed, fault: str, status: str, said: str) -> None:
    record = run_served(f"faulty: {fault}")
    assert (record.outcome.status, said in record.outcome.reason) == (status, True), record.outcome


def test_a_server_that_is_there_already_is_measured_and_what_it_costs_is_not_known(
    run_served: RunServed, tmp_path: Path
) -> None:
    for name in ("model", "site"):
        (tmp_path / name).mkdir()
    built = Null().build("null", tmp_path / "model")
    artifact = Artifact(
        id="a1", format="null", path=str(built.path), size_bytes=2, inputs=built.inputs, outputs=built.outputs
    )
    service = Service(model="m", artifact=artifact, adapter="null")
    site = site_in(tmp_path / "site")
    with deployed(Simple().describe(service, Simple.Options(), site), service, site) as running:
        record = run_served(f'external: {{url: "http://127.0.0.1:{running.front.port}", encoding: binary}}')
    assert record.outcome.status == "ok", record.outcome
    served = served_of(record)
    assert served.headline is not None
    assert served.headline.server_cpu_us_per_request is None
    assert (served.server_memory_bytes, served.server_received) == (None, None)
    assert record.costs.cpu_ms_per_call is None
    assert served.notes
