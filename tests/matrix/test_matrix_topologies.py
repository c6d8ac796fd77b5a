"""Topologies with options and loads as axes: which cells they make, and that cells without them stay what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.cell import LoadPlan
from bench.matrix import Matrix, load

SERVER = "simple"


def served(**axes: Any) -> Matrix:
    return load(json.dumps({"schema": 1, "models": {"a": {"null": {}, "variants": ["null"]}}, "axes": axes}, indent=1))


def reached(matrix: Matrix) -> list[tuple[str, dict[str, Any]]]:
    return [(cell.topology, dict(cell.topology_options)) for cell in matrix.cells]


def test_options_with_several_values_are_multiplied() -> None:
    options = {"encoding": ["binary", "json"], "max_batch": [1, 4]}
    assert reached(served(topology=["direct", {SERVER: options}])) == [
        ("direct", {}),
        (SERVER, {"encoding": "binary", "max_batch": 1}),
        (SERVER, {"encoding": "binary", "max_batch": 4}),
        (SERVER, {"encoding": "json", "max_batch": 1}),
        (SERVER, {"encoding": "json", "max_batch": 4}),
    ]


def test_each_topology_is_a_group_of_its_own_with_a_readable_id() -> None:
    matrix = served(topology=["direct", {SERVER: {"encoding": "json"}}])
    assert len(matrix.groups) == 2
    direct, simple = matrix.cells
    assert direct.id.startswith("a.null.direct.b1.t1.")
    assert simple.id.startswith("a.null.simple-json.b1.t1.")


def test_a_cell_in_process_is_the_same_whatever_loads_the_matrix_names() -> None:
    plain, loaded = served(), served(load=[{"poisson": {"rate_per_s": 5}}, {"constant": {"rate_per_s": 5}}])
    assert [cell.id for cell in plain.cells] == [cell.id for cell in loaded.cells]


def test_a_served_cell_without_a_load_gets_half_of_what_its_server_can_do() -> None:
    (cell,) = served(topology=[SERVER]).cells
    assert cell.load == LoadPlan(kind="poisson", load_ratio=0.5)


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ("closed", LoadPlan()),
        ({"closed": {"concurrency": 4}}, LoadPlan(concurrency=4)),
        ({"poisson": {"load_ratio": 0.8}}, LoadPlan(kind="poisson", load_ratio=0.8)),
        ({"burst": {"rate_per_s": 9.0, "burst_size": 3}}, LoadPlan(kind="burst", rate_per_s=9.0, burst_size=3)),
        (
            {"ramp": {"rate_per_s": 1.0, "end_rate_per_s": 9.0}},
            LoadPlan(kind="ramp", rate_per_s=1.0, end_rate_per_s=9.0),
        ),
    ],
)
def test_a_load_is_what_its_words_say(words: Any, plan: LoadPlan) -> None:
    (cell,) = served(topology=[SERVER], load=[words]).cells
    assert cell.load == plan


def test_two_loads_are_two_cells_and_two_rates_have_two_ids() -> None:
    cells = list(served(topology=[SERVER], load=[{"poisson": {"rate_per_s": rate}} for rate in (5.0, 6.0)]).cells)
    assert len({cell.id for cell in cells}) == 2


def test_a_trace_is_named_from_the_matrix_and_counts_by_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "arrivals.npy", np.array([0.0, 0.1]))
    matrix = {
        "schema": 1,
        "models": {"a": {"null": {}, "variants": ["null"]}},
        "axes": {"topology": [SERVER], "load": [{"trace": {"path": "arrivals.npy"}}]},
    }
    (tmp_path / "matrix.yaml").write_text(json.dumps(matrix))
    (cell,) = load(tmp_path / "matrix.yaml").cells
    assert cell.load.trace_path == str(tmp_path / "arrivals.npy")
    (tmp_path / "elsewhere").mkdir()
    for name in ("arrivals.npy", "matrix.yaml"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    (moved,) = load(tmp_path / "elsewhere" / "matrix.yaml").cells
    assert moved.id == cell.id


def test_a_rule_on_a_topology_covers_all_its_options_or_those_it_names() -> None:
    axes = {"topology": ["direct", {SERVER: {"encoding": ["binary", "json"]}}]}
    text = {"schema": 1, "models": {"a": {"null": {}, "variants": ["null"]}}, "axes": axes}
    without = load(json.dumps({**text, "exclude": [{"topology": SERVER}]}, indent=1))
    assert reached(without) == [("direct", {})]
    less = load(json.dumps({**text, "exclude": [{"topology": {SERVER: {"encoding": "json"}}}]}, indent=1))
    assert reached(less) == [("direct", {}), (SERVER, {"encoding": "binary"})]


def test_how_served_cells_are_measured_is_part_of_what_a_matrix_asks_for() -> None:
    text = {"schema": 1, "models": {"a": {"null": {}, "variants": ["null"]}}, "axes": {"topology": [SERVER]}}
    plain, other = load(json.dumps(text, indent=1)), load(json.dumps({**text, "serving": {"requests": 7}}, indent=1))
    assert other.serving.requests == 7
    assert plain.digest != other.digest
    assert other.resolved["serving"]["requests"] == 7


def test_quick_buys_fewer_requests() -> None:
    text = json.dumps({"schema": 1, "models": {"a": {"null": {}, "variants": ["null"]}}}, indent=1)
    assert load(text, quick=True).serving.requests == 300
    assert load(text, quick=True, sets=["serving.requests=900"]).serving.requests == 900
