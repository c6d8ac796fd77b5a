"""The flat view has one row per cell and ranks only what may be ranked."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.results import Fidelity, Outcome
from bench.records import Journal, flat_row, frame, open_run
from tests.examples.records import VARIANTS, create_run, make_cell, make_fidelity, make_record, make_records, write_run
from tests.examples.served import make_all_records, make_served, make_served_record


def test_a_results_directory_gives_all_cells_of_all_runs(tmp_path: Path) -> None:
    first, second = write_run(tmp_path), write_run(tmp_path, make_records()[:2])
    table = frame(tmp_path)
    assert len(table) == 22
    assert set(table["run_id"]) == {first.manifest.run_id, second.manifest.run_id}
    assert frame([second.path])["cell_id"].tolist() == list(second.manifest.planned_cell_ids)


def test_the_columns_hold_the_numbers_of_the_record() -> None:
    reference = make_cell("minilm", batch=8)
    cell = make_cell("minilm", VARIANTS[2], batch=8, threads=2)
    row = flat_row(make_record(cell, reference=reference, p50_ms=2.0, ratio=0.5))
    expected = {
        "model": "minilm",
        "variant": "onnx-int8",
        "adapter": "onnxruntime",
        "steps": "keras_to_saved_model > saved_model_to_onnx > quantize_dynamic",
        "batch": 8,
        "threads": 2,
        "dimensions": "sequence=uniform:8,64",
        "status": "ok",
        "is_reference": False,
        "p50_ms": 2.0,
        "p50_low_ms": 1.96,
        "p50_high_ms": 2.04,
        "p99_ms": None,
        "p99_low_ms": None,
        "ratio": 0.5,
        "ratio_low": 0.49,
        "ratio_high": 0.51,
        "verdict": "changed",
        "direction": "faster",
        "fidelity_passed": True,
        "relative_error": 9e-8,
        "correct": 349,
        "artifact_size_bytes": 1_100_000,
        "load_s": 0.034,
        "flags": "noisy-neighbour",
        "environment_id": "e1f2a3b4c5d6",
    }
    assert {name: row[name] for name in expected} == expected
    assert isinstance(row["throughput_low_per_s"], float)


def test_a_cell_that_is_not_ok_has_no_number_to_be_ranked_by() -> None:
    row = flat_row(make_record(make_cell(variant=VARIANTS[1]), status="invalid"))
    assert row["status"] == "invalid"
    assert [row[name] for name in ("p50_ms", "min_ms", "throughput_per_s", "ratio", "verdict", "direction")] == [
        None
    ] * 6
    assert row["fidelity_passed"] is False
    assert row["relative_error"] == 0.031


def test_a_cell_behind_a_server_has_the_latency_of_its_own_load_and_what_the_server_costs() -> None:
    row = flat_row(make_served_record())
    expected = {
        "topology": "multiprocess",
        "topology_options": "balance=reuse_port workers=2",
        "load": "poisson",
        "offered_per_s": 50.0,
        "achieved_per_s": 50.0,
        "load_verdict": "ok",
        "verdict": None,
        "p50_ms": 7.1,
        "p99_ms": 7.1 * 1.7,
        "x_max_per_s": 260.0,
        "slo_rate_per_s": 231.0,
        "server_cpu_us_per_request": 1310.0,
        "client_lag_p99_us": 85.0,
        "goodput_ratio": 0.999,
        "goodput_ratio_low": 0.997,
        "infer_ms": 0.9 * 7.1 * 1.05,
        "agreement": "bitwise",
        "answers_checked": 120,
    }
    assert {name: row[name] for name in expected} == expected
    assert isinstance(row["p50_low_ms"], float)
    assert isinstance(row["server_cost_low_ms"], float)


def test_a_served_cell_that_is_not_ok_tells_how_its_load_ended_and_nothing_to_rank_it_by() -> None:
    served = make_served()
    assert served.headline is not None
    limited = replace(served, headline=replace(served.headline, verdict="client-limited"))
    row = flat_row(make_served_record(served=limited, outcome=Outcome(status="invalid")))
    assert (row["load_verdict"], row["offered_per_s"], row["client_lag_p99_us"]) == ("client-limited", 50.0, 85.0)
    ranking = ("p50_ms", "achieved_per_s", "x_max_per_s", "goodput_ratio", "server_cpu_us_per_request", "infer_ms")
    assert [row[name] for name in ranking] == [None] * len(ranking)


def test_of_several_outputs_the_worst_counts() -> None:
    good, bad = make_fidelity().outputs[0], make_fidelity(passed=False).outputs[0]
    unknown = replace(good, cosine=None, relative_error=None, not_finite=3)
    fidelity = Fidelity(outputs=(good, bad, unknown), deterministic="bitwise", passed=False)
    row = flat_row(replace(make_record(), fidelity=fidelity))
    assert (row["relative_error"], row["cosine"], row["not_finite"]) == (0.031, 0.987, 3)
    assert row["top1_agreement_ratio"] == 0.94


def test_all_rows_have_the_same_columns_and_so_has_no_row() -> None:
    columns = [list(flat_row(record)) for record in make_all_records()]
    assert all(names == columns[0] for names in columns)
    empty = frame([])
    assert list(empty.columns) == columns[0]
    assert len(empty) == 0


def test_a_cell_measured_again_counts_once(tmp_path: Path) -> None:
    run = create_run(tmp_path, [make_record()])
    with Journal(run.journal_path) as journal:
        journal.append(make_record(status="cancelled"))
        journal.append(make_record())
    assert frame([run.path])["status"].tolist() == ["ok"]


def test_damage_is_logged_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = write_run(tmp_path, make_records()[:3])
    run.journal_path.write_bytes(run.journal_path.read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert len(frame(tmp_path)) == 2
    assert f"{run.journal_path}:3: torn" in caplog.text
    assert len(open_run(run.path).records()[1]) == 1


def test_importing_the_records_loads_neither_pandas_nor_numpy() -> None:
    script = "import sys, bench.records; print({'pandas', 'numpy', 'filelock'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "set()"
