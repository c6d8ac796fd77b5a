"""What programs read: one JSON object on stdout, with keys that stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import records
from bench.core.plugins import TABLES, lookup
from tests.cli.conftest import Bench, run_paths

CELL_KEYS = {
    "id", "model", "variant", "status", "reason", "hint", "p50_ms", "p50_interval", "p99_ms", "ratio", "ratio_interval",
    "verdict", "direction", "reference", "fidelity", "accuracy", "size_bytes", "peak_memory_bytes", "load_s",
    "first_call_ms", "cpu_ms_per_call", "flags",
}  # fmt: skip


def test_a_run_prints_one_object_and_nothing_else(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    told = bench("run", str(matrix), "--json")
    assert told.code == 0, told.err
    shown = json.loads(told.out)
    (path,) = run_paths(tmp_path / "results")
    run = records.open_run(path)
    assert shown["run"] == run.manifest.run_id
    assert [cell["id"] for cell in shown["cells"]] == [record.cell_id for record in run.records()[0]]
    assert all(set(cell) >= CELL_KEYS for cell in shown["cells"])
    plain, twin = shown["cells"]
    assert (plain["model"], plain["variant"], plain["status"], plain["verdict"]) == ("m", "plain", "ok", "reference")
    assert (twin["variant"], twin["verdict"], twin["reference"]) == ("twin", "inconclusive", plain["id"])
    assert plain["p50_ms"] == pytest.approx(0.05, rel=0.5)
    assert twin["ratio"] == pytest.approx(1, rel=0.5)


def test_list_gives_every_table_with_what_is_needed_and_whether_it_runs_here(bench: Bench) -> None:
    told = bench("list", "--json")
    assert told.code == 0
    listing = json.loads(told.out)
    assert list(listing) == list(TABLES)
    for kind, entries in listing.items():
        assert entries
        for entry in entries:
            assert entry["needs"] == list(lookup(kind, entry["name"]).needs)
            assert entry["runs_here"] is (entry["reason"] == "")
            assert entry["summary"]
    assert next(entry for entry in listing["adapters"] if entry["name"] == "null")["runs_here"]


def test_list_of_one_kind_gives_that_kind_alone(bench: Bench) -> None:
    assert list(json.loads(bench("list", "limiters", "--json").out)) == ["limiters"]


def test_list_says_what_is_missing_and_how_to_get_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.core.plugins._is_installed", lambda name: name != "sklearn")
    listing = json.loads(bench("list", "models", "--json").out)
    digits = next(entry for entry in listing["models"] if entry["name"] == "digits")
    assert not digits["runs_here"]
    assert digits["reason"] == "needs sklearn, not installed: pip install scikit-learn"
    assert "pip install scikit-learn" in bench("list", "models").out.replace("\n", " ")


def test_plan_gives_every_cell_with_its_status(bench: Bench, matrix: Path, tmp_path: Path) -> None:
    told = bench("plan", str(matrix), "--json")
    assert told.code == 0
    shown = json.loads(told.out)
    assert shown["name"] == "tiny"
    assert [(cell["model"], cell["variant"], cell["status"]) for cell in shown["cells"]] == [
        ("m", "plain", "planned"),
        ("m", "twin", "planned"),
    ]
    assert not (tmp_path / "results").exists()


def test_plan_counts_each_reason_once_and_an_obstacle_is_no_error(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    told = bench("plan", "mine.py:build", "--set", "axes.batch=[1, 2, 3]")
    assert told.code == 0
    assert "3 cells in 3 groups, 0 can run here" in told.out
    assert told.out.count("--trust") == 1
    assert "refused 3: " in told.out


def test_the_schema_is_json_schema(bench: Bench) -> None:
    schema = json.loads(bench("schema").out)
    assert {"models", "variants", "axes", "measurement"} <= set(schema["properties"])


def test_doctor_gives_findings_and_damages(bench: Bench, tmp_path: Path) -> None:
    told = bench("doctor", "--json")
    assert told.code == 0
    shown = json.loads(told.out)
    assert shown["damages"] == []
    assert {"kind", "subject", "text", "hint"} == set(shown["findings"][0])
