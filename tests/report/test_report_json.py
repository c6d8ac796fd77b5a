from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.records import RunDirectory
from bench.report import run_json
from tests.examples.records import VARIANTS, make_cell, make_record, write_run
from tests.report.synthetic import HOSTILE_NAMES, write_named_run

_KEYS = [
    "id", "model", "variant", "status", "reason", "hint", "p50_ms", "p50_interval", "p99_ms", "ratio", "ratio_interval",
    "verdict", "direction", "reference", "fidelity", "accuracy", "size_bytes", "peak_memory_bytes", "load_s",
    "first_call_ms", "cpu_ms_per_call", "flags", "topology", "topology_options", "load", "served",
]  # fmt: skip


def cells(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(cell["model"], cell["variant"]): cell for cell in json.loads(run_json(path))["cells"]}


def test_the_object_names_run_and_environment_and_every_cell_has_the_same_keys(synthetic: RunDirectory) -> None:
    run = synthetic

    entry = json.loads(run_json(run.path))

    assert list(entry) == ["run", "environment_id", "cells"]
    assert (entry["run"], entry["environment_id"]) == (run.manifest.run_id, "14723242be860e5c")
    assert [cell["id"] for cell in entry["cells"]] == list(run.manifest.planned_cell_ids)
    assert {tuple(cell) for cell in entry["cells"]} == {tuple(_KEYS)}


def test_an_ok_cell_has_numbers_with_intervals_and_a_verdict(synthetic: RunDirectory) -> None:
    found = cells(synthetic.path)

    best = found["digits", "onnx"]
    assert best["p50_interval"][0] < best["p50_ms"] < best["p50_interval"][1]
    assert best["ratio_interval"][0] < best["ratio"] < best["ratio_interval"][1] < 0.1
    assert (best["verdict"], best["direction"]) == ("changed", "faster")
    assert best["reference"] == found["digits", "keras"]["id"]
    assert best["fidelity"] | {"relative_error": 2e-7, "passed": True} == best["fidelity"]
    assert best["accuracy"]["correct"] == 349
    assert best["flags"] == ["noisy-contention"]


def test_the_reference_has_the_ratio_one_and_says_so(synthetic: RunDirectory) -> None:
    reference = cells(synthetic.path)["digits", "keras"]

    assert (reference["ratio"], reference["verdict"], reference["direction"]) == (1.0, "reference", "reference")
    assert reference["ratio_interval"] is None


def test_cells_that_are_not_ok_have_no_number_to_rank_them_by(synthetic: RunDirectory) -> None:
    found = cells(synthetic.path)

    for cell in (found["seed_cnn", "onnx-int8"], found["basic_pitch", "onnx-int8"]):
        numbers = ("p50_ms", "p50_interval", "p99_ms", "ratio", "ratio_interval", "verdict", "direction")
        assert {cell[key] for key in numbers} == {None}
        assert cell["reason"]
    assert found["seed_cnn", "onnx-int8"]["fidelity"]["passed"] is False


def test_a_ratio_to_a_reference_that_is_not_ok_is_unknown(tmp_path: Path) -> None:
    reference = make_record(status="invalid")
    variant = make_record(make_cell(variant=VARIANTS[1]), ratio=0.5, reference=reference.cell)

    found = cells(write_run(tmp_path, [reference, replace(variant)]).path)

    cell = found["digits", "onnx"]
    assert cell["p50_ms"] == 1.25
    assert (cell["ratio"], cell["ratio_interval"], cell["verdict"], cell["direction"]) == (None, None, None, None)


def test_hostile_names_come_back_as_they_were(tmp_path: Path) -> None:
    found = cells(write_named_run(tmp_path, HOSTILE_NAMES).path)

    assert {model for model, _ in found} == set(HOSTILE_NAMES)
