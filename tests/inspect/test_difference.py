"""Two inspections side by side, and what an inspection derives from its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import inspect
from bench.core.artifact import FORMATS, TensorSpec
from bench.core.errors import TargetError
from bench.inspect.inspection import bits_of, summed

STRUCTURE = inspect.Structure(
    operators=(inspect.OperatorCount(operator="Conv", nodes=2), inspect.OperatorCount(operator="Relu", nodes=1)),
    weights=(inspect.Weights(dtype="float32", values=10, size_bytes=40),),
)
FIRST = inspect.Inspection(
    location="a.onnx",
    format="onnx",
    size_bytes=100,
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4)),),
    structure=STRUCTURE,
)


def test_equal_models_differ_in_nothing_wherever_they_lie() -> None:
    assert inspect.differences(FIRST, replace(FIRST, location="b.onnx")) == ()


def test_only_what_differs_is_told_and_what_is_absent_is_none() -> None:
    structure = replace(
        STRUCTURE,
        operators=(inspect.OperatorCount(operator="Conv", nodes=2), inspect.OperatorCount(operator="Cast", nodes=1)),
        weights=(inspect.Weights(dtype="int8", values=10, size_bytes=10),),
    )
    other = replace(
        FIRST, size_bytes=60, structure=structure, inputs=(TensorSpec(name="x", dtype="float32", shape=(8, 4)),)
    )
    told = {row.what: (row.first, row.second) for row in inspect.differences(FIRST, other)}
    assert told == {
        "size_bytes": (100, 60),
        "input x": ("float32 [batch, 4]", "float32 [8, 4]"),
        "operations per": ("sample", "call (batch 8)"),
        "bytes of float32": (40, None),
        "bytes of int8": (None, 10),
        "operator Relu": (1, None),
        "operator Cast": (None, 1),
    }


@pytest.mark.parametrize(
    ("shapes", "per"),
    [
        ([("batch", 4)], "sample"),
        ([("batch", 4), (3,)], "sample"),
        ([(1, 4), (1, 2)], "sample"),
        ([(8, 4), (8,)], "call (batch 8)"),
        ([(8, 4), (3,)], "call"),
        ([("sequence",)], "call"),
        ([()], "call"),
        ([], "call"),
    ],
)
def test_work_is_that_of_a_sample_only_where_a_call_takes_one(shapes: list[tuple[int | str, ...]], per: str) -> None:
    inputs = tuple(TensorSpec(name=str(index), dtype="float32", shape=shape) for index, shape in enumerate(shapes))
    assert replace(FIRST, inputs=inputs).work_per == per


def test_parameters_are_floats_and_narrow_integers() -> None:
    weights = summed(
        [("float32", 5), ("int8", 3), ("int4", 3), ("bfloat16", 1), ("int32", 7), ("int64", 9), ("bool", 2)]
    )
    assert replace(STRUCTURE, weights=weights).parameters == 5 + 3 + 3 + 1
    assert {entry.dtype: entry.size_bytes for entry in weights if entry.dtype in {"int4", "bfloat16"}} == {
        "int4": 2,
        "bfloat16": 2,
    }


@pytest.mark.parametrize(
    ("dtype", "bits"), [("float32", 32), ("bfloat16", 16), ("uint4", 4), ("float8e4m3fn", 8), ("bool", 8), ("str", 8)]
)
def test_bits_follow_from_the_name(dtype: str, bits: int) -> None:
    assert bits_of(dtype) == bits


def test_every_reader_is_of_a_known_format_and_a_format_without_one_says_so(tmp_path: Path) -> None:
    assert set(inspect.READERS) <= set(FORMATS)
    subject = inspect.Subject(path=tmp_path / "m.engine", inputs=(), outputs=(), load=lambda: None)
    assert "not opened" in inspect.read("tensorrt_engine", subject).unread
    with pytest.raises(TargetError, match="cannot be drawn"):
        inspect.graph_bytes("tensorrt_engine", subject)
