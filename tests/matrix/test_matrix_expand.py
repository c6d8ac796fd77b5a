"""From axes to cells: products, rules, references, stable ids, and how much it costs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.cell import Dimension
from bench.core.errors import MatrixError
from bench.matrix import Matrix, load

BASE: dict[str, Any] = {
    "schema": 1,
    "models": {
        "a": {"null": {"service_ms": 1.0}, "reference": "plain"},
        "b": {"null": {}, "reference": "slow", "dimensions": {"sequence": [16, 32]}, "tolerance": {"cosine": 0.9}},
    },
    "variants": {
        "plain": {"source": "null", "adapter": "null"},
        "slow": {"source": "null", "adapter": {"null": {"service_ms": 2.0, "seed": 1}}},
    },
    "axes": {"batch": [1, 8], "threads": [1, 2], "cpu_ids": [None, [0, 1]]},
    "exclude": [{"model": "a", "batch": 8, "threads": 2}, {"model": "b", "threads": 2}],
    "include": [{"model": "b", "batch": 64, "threads": 4}],
}


def written(matrix: dict[str, Any], **changes: Any) -> str:
    return json.dumps({**matrix, **changes}, indent=1)


def small(**changes: Any) -> Matrix:
    return load(written({"schema": 1, "models": {"a": {"null": {}}}, "variants": BASE["variants"]}, **changes))


def points(matrix: Matrix) -> set[tuple[str, str, int, int]]:
    return {(cell.model.name, cell.variant.name, cell.batch, cell.limits.threads) for cell in matrix.cells}


def shuffled(value: Any, draw: random.Random) -> Any:
    """The same matrix with keys of mappings and items of lists in another order (pairs and chains are kept)."""
    if isinstance(value, dict):
        keys = draw.sample(list(value), len(value))
        return {key: shuffled(value[key], draw) for key in keys}
    return draw.sample(value, len(value)) if isinstance(value, list) and value != [0, 1] else value


@given(st.randoms(use_true_random=False))
def test_ids_references_and_digest_are_the_same_however_the_file_is_ordered(draw: random.Random) -> None:
    first, second = load(written(BASE)), load(written(shuffled(BASE, draw)))
    assert {cell.id for cell in first.cells} == {cell.id for cell in second.cells}
    assert {group.id: group.reference_id for group in first.groups} == {
        group.id: group.reference_id for group in second.groups
    }
    assert first.digest == second.digest


def test_axes_multiply_into_groups_that_share_everything_but_the_variant() -> None:
    matrix = small(axes={"batch": [1, 8], "memory_limit_mib": [None, 512], "cpu_quota_cores": [1, 0.5]})
    assert len(matrix.groups) == 8
    for group in matrix.groups:
        assert [cell.variant.name for cell in group.cells] == ["plain", "slow"]
        assert {cell.group_id for cell in group.cells} == {group.id}
        assert group.reference.variant.name == "plain"
    assert {cell.limits.memory_limit_bytes for cell in matrix.cells} == {None, 512 * 2**20}
    assert len({cell.id for cell in matrix.cells}) == 16


def test_the_reference_is_the_first_variant_unless_named() -> None:
    assert small().groups[0].reference.variant.name == "plain"
    named = small(models={"a": {"null": {}, "reference": "slow", "variants": ["plain", "slow"]}})
    assert named.groups[0].reference.variant.name == "slow"


def test_dimensions_are_a_size_an_axis_or_a_distribution_and_a_model_overrides_the_matrix() -> None:
    matrix = small(
        models={"a": {"null": {}}, "b": {"null": {}, "dimensions": {"s": {"choice": [8, 4]}}}},
        variants={"plain": BASE["variants"]["plain"]},
        dimensions={"s": [16, 32], "t": {"uniform": [8, 64]}, "u": 3},
    )
    of = {name: [c.dimensions for c in matrix.cells if c.model.name == name] for name in ("a", "b")}
    rest = (Dimension(name="t", kind="uniform", values=(8, 64)), Dimension(name="u", kind="fixed", values=(3,)))
    assert of["a"] == [(Dimension(name="s", kind="fixed", values=(size,)), *rest) for size in (16, 32)]
    assert of["b"] == [(Dimension(name="s", kind="choice", values=(4, 8)), *rest)]


def test_values_given_twice_are_one_value_and_cells_included_twice_are_one_cell() -> None:
    matrix = small(axes={"batch": [1, 1, 8, 1]}, include=[{"batch": 8}, {"variant": "slow", "batch": [8, 1]}])
    assert len(list(matrix.cells)) == 4


def test_include_adds_the_product_with_its_own_axes_and_brings_the_reference() -> None:
    matrix = small(axes={"batch": [1], "threads": [1, 2]}, include=[{"variant": "sl*", "batch": [32]}])
    added = points(matrix) - points(small(axes={"batch": [1], "threads": [1, 2]}))
    assert added == {("a", variant, 32, threads) for variant in ("plain", "slow") for threads in (1, 2)}


def test_exclude_needs_every_key_and_goes_before_include() -> None:
    matrix = small(
        axes={"batch": [1, 8], "threads": [1, 2]},
        include=[{"batch": 64}],
        exclude=[{"batch": [8, 64], "threads": 2}, {"variant": "slow", "batch": 1}],
    )
    expected = {("a", "plain", 1, 1), ("a", "plain", 1, 2)}
    expected |= {("a", variant, batch, 1) for variant in ("plain", "slow") for batch in (8, 64)}
    assert points(matrix) == expected


def test_rules_also_know_limits_and_dimensions() -> None:
    axes = {"cpu_ids": [None, [1, 0]], "memory_limit_mib": [None, 512]}
    matrix = small(
        axes=axes,
        dimensions={"s": [16, 32]},
        exclude=[{"cpu_ids": [1, 0, 1]}, {"memory_limit_mib": 512, "dimensions": {"s": 32}}],
    )
    assert len(matrix.groups) == 3


def test_leaving_out_only_the_reference_of_a_group_is_refused() -> None:
    with pytest.raises(MatrixError) as caught:
        small(axes={"batch": [1, 8]}, exclude=[{"variant": "plain", "batch": 8}])
    (problem,) = caught.value.problems
    assert "exclude[0]: leaves out 'plain', the reference of 'a', but keeps variants to compare with it" in problem


def test_a_way_is_chosen_by_what_the_model_offers() -> None:
    matrix = load("schema: 1\nmodels: {digits: {variants: [onnx, frozen]}, basic_pitch: {variants: [onnx, frozen]}}\n")
    chains = {
        (cell.model.name, cell.variant.name): (cell.variant.source, [step.name for step in cell.variant.steps])
        for cell in matrix.cells
    }
    assert chains == {
        ("digits", "onnx"): ("keras", ["keras_to_saved_model", "saved_model_to_onnx"]),
        ("digits", "frozen"): ("keras", ["keras_to_saved_model", "freeze"]),
        ("basic_pitch", "onnx"): ("onnx", []),
        ("basic_pitch", "frozen"): ("saved_model", ["freeze"]),
    }


def test_the_more_special_tolerance_wins_and_null_means_not_judged() -> None:
    variants = {
        "plain": BASE["variants"]["plain"],
        "rough": {**BASE["variants"]["plain"], "tolerance": {"relative_error": None, "cosine": 0.9}},
    }
    models = {
        "a": {"null": {}, "tolerance": {"relative_error": 0.5, "top1_agreement_ratio": 0.98}},
        "b": {"null": {}, "variants": {"plain": None, "rough": {"tolerance": {"cosine": 0.5}}}},
    }
    found = {
        pair: (tolerance.relative_error, tolerance.cosine, tolerance.top1_agreement_ratio)
        for pair, tolerance in small(models=models, variants=variants).tolerances.items()
    }
    assert found == {
        ("a", "plain"): (0.5, None, 0.98),
        ("a", "rough"): (None, 0.9, 0.98),
        ("b", "plain"): (1e-3, None, None),
        ("b", "rough"): (None, 0.5, None),
    }


def test_what_is_kept_for_the_run_is_plain_json_with_defaults_spelled_out() -> None:
    matrix = load(written(BASE))
    assert json.loads(json.dumps(matrix.resolved)) == matrix.resolved
    assert matrix.resolved["axes"]["topology"] == ["direct"]
    assert matrix.resolved["models"]["a"]["variants"]["slow"]["variant"]["adapter_options"] == [
        ["seed", 1],
        ["service_ms", 2.0],
    ]
    assert matrix.resolved["measurement"]["rounds"] == 5


NASTY = ["../../etc/passwd", "a\0b", "new\nline", "x" * 300, "<script>alert(1)</script>", "=cmd()", "[/bold]", ".", " "]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names_give_safe_ids_and_stay_as_they_are(name: str) -> None:
    _assert_safe(name)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_name_gives_safe_ids_and_stays_as_it_is(name: str) -> None:
    _assert_safe(name)


def _assert_safe(name: str) -> None:
    text = json.dumps(
        {
            "schema": 1,
            "models": {name: {"null": {}}},
            "variants": {name: BASE["variants"]["plain"], "other": BASE["variants"]["slow"]},
            "dimensions": {name: 3},
        },
        indent=1,
    )
    matrix = load(_without_surrogate_pairs(text))
    (group,) = matrix.groups
    assert group.reference.model.name == group.reference.variant.name == group.reference.dimensions[0].name == name
    for text in (group.id, *(cell.id for cell in group.cells)):
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
        assert len(text) < 100
    assert len({cell.id for cell in group.cells}) == 2


def _without_surrogate_pairs(text: str) -> str:
    """JSON writes a character beyond the basic plane as two escapes, YAML as one of eight digits."""
    plain: dict[str, Any] = json.loads(text)
    characters: Iterable[str] = json.dumps(plain, ensure_ascii=False, indent=1)
    return "".join(c if c.isprintable() or c == "\n" else f"\\U{ord(c):08x}" for c in characters)


TEN_THOUSAND = """
import re, time
from bench.matrix import load
variants = ", ".join(f"v{i}: {{source: 'null', adapter: {{'null': {{seed: {i}}}}}}}" for i in range(10))
rules = ", ".join(f"{{batch: {i}, threads: {i}}}" for i in range(1, 21))
text = f"schema: 1\\nmodels: {{a: {{null: {{}}}}}}\\nvariants: {{{variants}}}\\nexclude: [{rules}]\\n"
text += f"axes: {{batch: {list(range(1, 41))}, threads: {list(range(1, 27))}}}\\n"
started = time.perf_counter()
cells = sum(len({cell.id for cell in group.cells}) for group in load(text).groups)
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])  # ru_maxrss keeps the parent's
print(cells, time.perf_counter() - started, peak_kib // 1024)
"""


def test_ten_thousand_cells_expand_in_a_second_and_a_hundred_megabytes() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", TEN_THOUSAND], cwd=root, capture_output=True, text=True, check=True)
    cells, seconds, mebibytes = done.stdout.split()
    sys.stdout.write(f"{cells} cells in {float(seconds):.2f} s, {mebibytes} MiB in all\n")
    assert int(cells) == 10_200
    assert int(mebibytes) < 100


@pytest.mark.parametrize("place", ["axes", "include"])
def test_a_product_of_a_billion_cells_is_refused_before_it_is_built(place: str) -> None:
    thousand = list(range(1, 1001))
    axes = {"batch": thousand, "threads": thousand}
    sizes = {"s": list(range(1, 501))}
    changes: dict[str, Any] = (
        {"axes": axes, "dimensions": sizes} if place == "axes" else {"include": [{**axes, "dimensions": sizes}]}
    )
    with pytest.raises(MatrixError) as caught:
        small(**changes)
    told = caught.value.problems[0]
    assert "cells, at most 100,000 are allowed; model 'a' alone has 1,000,000,000 = variants 2 x batch 1000 x" in told
