"""Dynamic dimensions get names that a person can write into a matrix file."""

from __future__ import annotations

import pytest

from bench.adapters.dimensions import FileTensor, named
from bench.core.errors import TargetError

Shape = tuple[int | str | None, ...]


def names_of(*inputs: Shape, output: Shape | None = ()) -> list[tuple[int | str, ...]]:
    """Named shapes of inputs called a, b ... and of one output called y."""
    tensors = [FileTensor(name=name, dtype="float32", shape=shape) for name, shape in zip("abc", inputs, strict=False)]
    signature = named(tensors, [FileTensor(name="y", dtype="float32", shape=output)])
    return [spec.shape for specs in signature for spec in specs]


@pytest.mark.parametrize("symbol", [None, "N", "batch_size", "unk__7", "s77"])
def test_a_dynamic_first_axis_is_the_batch_whatever_the_file_calls_it(symbol: str | None) -> None:
    assert names_of((symbol, 3), output=(symbol, 2)) == [("batch", 3), ("batch", 2)]


def test_a_symbol_that_a_person_chose_is_kept_on_the_other_axes() -> None:
    assert names_of(("N", "sequence"), ("N", "sequence"), output=("N", "sequence", 384)) == [
        ("batch", "sequence"),
        ("batch", "sequence"),
        ("batch", "sequence", 384),
    ]


def test_an_axis_without_a_name_is_called_after_its_tensor() -> None:
    assert names_of((None, None, 3), output=(None, None)) == [("batch", "a_dim1", 3), ("batch", "y_dim1")]


def test_a_made_up_symbol_keeps_its_identity_but_not_its_name() -> None:
    assert names_of(("s0", "s1"), ("s0", "s1"), output=("s0", "s1")) == [("batch", "a_dim1")] * 3


def test_every_made_up_first_axis_is_the_batch_for_exporters_give_each_input_its_own() -> None:
    assert names_of(("unk__1", 4), ("unk__2", 4), output=("unk__3", 2)) == [("batch", 4), ("batch", 4), ("batch", 2)]


def test_a_second_first_axis_that_a_person_named_otherwise_keeps_its_name() -> None:
    assert names_of(("N", 4), ("boxes", 4), output=("boxes",)) == [("batch", 4), ("boxes", 4), ("boxes",)]


def test_where_the_file_calls_another_axis_batch_the_first_keeps_its_own_name() -> None:
    assert names_of(("sequence", "batch", 8), output=("batch",)) == [("sequence", "batch", 8), ("batch",)]


def test_a_model_of_fixed_size_has_no_batch_and_its_dynamic_outputs_say_so() -> None:
    assert names_of((1, 3), output=(None,)) == [(1, 3), ("y_dim0",)]


def test_an_output_of_unknown_rank_has_one_dimension_an_input_is_refused() -> None:
    assert names_of((None, 3), output=None)[-1] == ("y_dims",)
    with pytest.raises(TargetError, match="no known number of dimensions"):
        named([FileTensor(name="a", dtype="float32", shape=None)], [])
