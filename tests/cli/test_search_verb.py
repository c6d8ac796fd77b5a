"""`bench search`: what it takes, what it prints, what it keeps, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench import records
from bench.runner import searching
from tests.cli.conftest import Bench
from tests.runner.simulated_deployment import SimulatedDeployment, as_deployment

USUAL = ("search", "null", "--slo", "p99=20ms", "--budget", "10s", "--cpus", "1")


@pytest.fixture
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "Deployment", as_deployment(SimulatedDeployment))


@pytest.mark.usefixtures("_simulated")
def test_a_rate_is_told_with_its_evidence_and_every_load(bench: Bench, tmp_path: Path) -> None:
    told = bench(*USUAL)
    assert told.code == 0, told.err
    first, *lines = told.out.splitlines()
    assert first.startswith("null.null behind simple, 1 thread: p99 within 20 ms of when a request was due")
    words = {line.split()[0]: line for line in lines if line.startswith("  ") and line.split()}
    assert re.search(r"confirmed +3\d\d(\.\d)?/s: kept in a load of its own of \d+ requests", words["confirmed"])
    assert re.search(r"fitted +[34]\d\d", words["fitted"])
    assert "missed at" in words["bracket"]
    assert "500/s in a closed loop, reached with 1 caller" in words["at"]
    assert "us of processor time a request, 50 MB in 1 process" in words["costs"]
    assert "search-shortened" in told.out
    assert told.out.count(" kept\n") >= 2
    kept = tmp_path / re.findall(r"^kept: (.*)$", told.out, re.MULTILINE)[0]
    assert json.loads(kept.read_text())["cell_id"].startswith("null.null.simple.")


@pytest.mark.usefixtures("_simulated")
def test_a_percentile_that_few_requests_cannot_establish_is_told_as_goodput(bench: Bench) -> None:
    told = bench(*USUAL, "--budget", "2s")
    assert told.code == 0, told.err
    assert re.search(r"p99 not established: .*; \d+\.\d % \[.* of the requests were within 20 ms", told.out), told.out


@pytest.mark.usefixtures("_simulated")
def test_no_rate_is_no_success(bench: Bench) -> None:
    told = bench(*USUAL, "--slo", "p99=1ms")
    assert told.code == 3
    assert "no rate is confirmed: no rate keeps it" in told.out
    assert "kept: " in told.out


@pytest.mark.usefixtures("_simulated")
def test_the_record_can_be_had_as_json(bench: Bench) -> None:
    told = bench(*USUAL, "--slo", "p50=0.004s", "--errors", "0.1%", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert found["objective"] == {"percent": 50, "latency_ms": 4.0, "error_budget_ratio": 0.001}
    assert found["served"]["search"]["probes"]


@pytest.mark.usefixtures("_simulated")
def test_a_plan_is_a_table_best_first(bench: Bench, tmp_path: Path) -> None:
    told = bench(*USUAL, "--budget", "2s", "--plan", "--delay", "0", "--delay", "2ms")
    assert told.code == 0, told.err
    rows = re.findall(r"^ +1 +1 +(none|2 ms) +([\d.]+)/s +[\d.]+ ms +\d+ us +50 MB$", told.out, re.MULTILINE)
    assert sorted(delay for delay, _ in rows) == ["2 ms", "none"], told.out
    assert "best first" in told.out
    (kept,) = (tmp_path / "results" / "searches").iterdir()
    assert kept.name.endswith("-plan-null.null.json")
    assert len(json.loads(kept.read_text())) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("null",), "required: --slo"),
        (("null", "--slo", "p99"), "write it as p99=20ms"),
        (("null", "--slo", "p98=20ms"), "p98 cannot be searched for: p50, p90, p95, p99 can"),
        (("null", "--slo", "p99=20"), "write it as 20ms, 0.02s or 2min"),
        (("null", "--slo", "p99=0ms"), "no time above 0"),
        (("null", "--slo", "p99=1ms", "--errors", "2"), "no share of the requests"),
        (("null", "--slo", "p99=1ms", "--budget", "soon"), "no time above 0"),
        (("null", "--slo", "p99=1ms", "--cpus", "0"), "at least 1"),
        (("null", "--slo", "p99=1ms", "--delay", "2ms"), "--delay is for --plan"),
        (("null", "--slo", "p99=1ms", "--plan", "--threads", "2"), "leave --topology and --threads out"),
        (("null", "--slo", "p99=1ms", "--plan", "--cpus", "4096"), "--cpus 4096: there are"),
        (("null", "--slo", "p99=1ms", "--plan", "--option", "workrs=2"), "did you mean 'workers'?"),
        (("null", "--slo", "p99=1ms", "--topology", "direct"), "direct has no server"),
        (("tiny.yaml", "--slo", "p99=1ms"), "direct has no server"),
    ],
)
@pytest.mark.usefixtures("matrix")
def test_a_mistake_is_said_before_anything_is_made(
    bench: Bench, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    told = bench("search", *words)
    assert told.code == 2
    assert said in told.err
    assert not (tmp_path / "results").exists()


def test_a_matrix_with_several_cells_of_that_name_lists_them(bench: Bench, matrix: Path) -> None:
    matrix.write_text(matrix.read_text() + "axes: {topology: [direct, simple], threads: [1, 2]}\n")
    told = bench("search", "tiny.yaml", "--variant", "m.plain", "--slo", "p99=1ms")
    assert told.code == 2
    assert "2 cells of tiny.yaml are meant" in told.err
    assert re.search(r"m\.plain\.simple\.b1\.t2\.\w+", told.err)


def test_nothing_is_searched_beside_a_run(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "search_cell", None)  # not reached
    (tmp_path / "results").mkdir()
    with records.exclusive_writer(tmp_path / "results", "a run"):
        told = bench(*USUAL)
    assert (told.code, "run a run (pid" in told.err) == (6, True)


@pytest.mark.slow
def test_a_real_server_is_searched(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        "schema: 1\nmodels: {m: {null: {service_ms: 5}}}\n"
        "variants: {plain: {source: 'null', adapter: 'null'}}\naxes: {topology: [simple]}\n"
    )
    told = bench("search", "slow.yaml", "--slo", "p95=100ms", "--budget", "6s", "--json")
    assert told.code in {0, 3}, "a neighbour on this machine may keep the client from sending in time"
    found: dict[str, Any] = json.loads(told.out)
    assert 20 < found["served"]["search"]["x_max_per_s"] < 201
    assert found["served"]["search"]["probes"]
    flags = [flag["name"] for flag in found["served"]["flags"]]
    assert set(flags) <= {"noisy-co-located"}
    assert found["spent_s"] < 30
