"""Arrays and texts become a batch only where they are what the model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import MatrixError
from bench.query import array_batch, text_batch
from tests.query.words import INPUTS, write_tokenizer

ONE = [TensorSpec(name="x", dtype="float32", shape=("batch", 4))]
TWO = [*ONE, TensorSpec(name="n", dtype="int32", shape=("batch",))]
TEXT = [TensorSpec(name="text", dtype="str", shape=("batch",))]


def stored(directory: Path, **arrays: Any) -> Path:
    path = directory / "given.npz"
    np.savez(path, **arrays)
    return path


def test_arrays_are_taken_by_name_in_the_models_types(tmp_path: Path) -> None:
    batch = array_batch(stored(tmp_path, n=np.array([1, 2]), x=np.ones((2, 4))), TWO)
    assert {name: (array.dtype.name, array.shape) for name, array in batch.items()} == {
        "x": ("float32", (2, 4)),
        "n": ("int32", (2,)),
    }


def test_the_only_array_goes_to_the_only_input(tmp_path: Path) -> None:
    assert list(array_batch(stored(tmp_path, whatever=np.ones((1, 4))), ONE)) == ["x"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones((1, 4))}, "has x"),
        ({"x": np.ones((1, 5)), "n": np.ones(1, int)}, "has the shape [1, 5]"),
        ({"x": np.ones((1, 4)), "n": np.array([0.5])}, "n is float64, the model takes int32"),
        ({"x": np.ones((1, 4)), "n": np.array([1 << 40])}, "n is int64, the model takes int32"),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(tmp_path: Path, arrays: Any, said: str) -> None:
    with pytest.raises(MatrixError) as caught:
        array_batch(stored(tmp_path, **arrays), TWO)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(MatrixError, match=r"cannot be read as \.npz"):
        array_batch(path, ONE)
    with pytest.raises(MatrixError, match=r"cannot be read as \.npz"):
        array_batch(tmp_path / "absent.npz", ONE)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match=r"cannot be read as \.npz"):
        array_batch(stored(tmp_path, x=np.array([{"a": 1}], object)), ONE)


def test_texts_go_to_a_model_of_text_as_they_are() -> None:
    assert text_batch(["a", "b"], TEXT, None)["text"].tolist() == ["a", "b"]


def test_texts_become_token_ids(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install tokenizers")
    assert text_batch(["good day"], INPUTS, write_tokenizer(tmp_path))["input_ids"].tolist() == [[2, 3]]
    with pytest.raises(MatrixError, match="a text has"):
        text_batch(["x" * 20_000], INPUTS, write_tokenizer(tmp_path))


def test_without_a_tokenizer_it_is_said_which_option_names_one() -> None:
    with pytest.raises(MatrixError) as caught:
        text_batch(["good"], INPUTS, None)
    assert "--tokenizer" in str(caught.value.hint)
    with pytest.raises(MatrixError, match="takes no text: its inputs are x float32"):
        text_batch(["good"], ONE, None)
