"""Ids of cells and groups: readable, safe as file names, and the same for ever."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.cell import Cell, Dimension, Limits, ModelRef, StepCall, Variant

CELL = Cell(
    model=ModelRef(name="minilm", kind="zoo", location="minilm"),
    variant=Variant(
        name="onnx-int8",
        source="torch_module",
        adapter="onnxruntime",
        steps=(StepCall(name="torch_to_onnx"), StepCall(name="quantize_dynamic", options=(("per_channel", True),))),
    ),
    limits=Limits(threads=2, cpu_ids=(0, 1)),
    batch=8,
    dimensions=(Dimension(name="sequence", kind="uniform", values=(8, 64)),),
)
NASTY = ("../../etc", "a\0b", "a\nb", "x" * 300, "<script>alert(1)</script>", "=cmd()", "[/bold]", "", ".", "模型")


def test_an_id_never_changes_from_one_release_to_the_next() -> None:
    assert CELL.id == "minilm.onnx-int8.direct.b8.t2.sequence8-64.e05e0d3c3b"
    assert CELL.group_id == "minilm.direct.b8.t2.sequence8-64.074a0159de"


def test_cells_that_differ_only_in_their_variant_share_the_group() -> None:
    other = replace(CELL, variant=Variant(name="torch", source="torch_module", adapter="torch"))
    assert other.id != CELL.id
    assert other.group_id == CELL.group_id
    assert replace(CELL, batch=1).group_id != CELL.group_id


def test_an_option_that_is_true_is_not_an_option_that_is_one() -> None:
    one, true, real = (
        replace(CELL, variant=replace(CELL.variant, adapter_options=(("x", value),))).id for value in (1, True, 1.0)
    )
    assert len({one, true, real}) == 3


def test_two_checkouts_of_one_model_file_give_the_same_id_and_trust_changes_nothing() -> None:
    here = ModelRef(name="mine", kind="path", location="/home/a/m.onnx", format="onnx", inputs_path="/home/a/x.npz")
    there = replace(here, location="/srv/b/m.onnx", inputs_path="/srv/b/x.npz", trusted=True)
    assert replace(CELL, model=here).id == replace(CELL, model=there).id
    assert replace(CELL, model=here).id != replace(CELL, model=replace(here, location="/home/a/n.onnx")).id


def test_a_long_model_name_leaves_the_variant_readable() -> None:
    long_name = replace(CELL.model, name="model" * 60)
    assert ".onnx-int8." in replace(CELL, model=long_name).id


@pytest.mark.parametrize("name", NASTY)
def test_ids_of_nasty_names_are_safe_file_names(name: str) -> None:
    _assert_safe(name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_ids_of_any_name_are_safe_file_names(name: str) -> None:
    _assert_safe(name)


def _assert_safe(name: str) -> None:
    cell = replace(CELL, model=replace(CELL.model, name=name), variant=replace(CELL.variant, name=name))
    for text in (cell.id, cell.group_id):
        assert re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,99}", text)
