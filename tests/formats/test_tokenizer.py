"""Texts become ids, masks and types that fit the encoder's inputs, whatever their length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError
from bench.formats.tokenizer import MAX_TEXT_CHARS, MAX_TEXTS, TextTokenizer, takes_texts
from tests.query.words import INPUTS, write_tokenizer

pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install tokenizers")

TYPES = TensorSpec(name="token_type_ids", dtype="int32", shape=("batch", "sequence"))


def test_all_texts_are_as_long_as_the_longest_and_the_mask_ends_with_each(tmp_path: Path) -> None:
    batch = TextTokenizer(write_tokenizer(tmp_path)).encode(["Good day good", "night", "nonsense"], INPUTS)
    assert {name: array.dtype.name for name, array in batch.items()} == dict.fromkeys(batch, "int64")
    assert batch["input_ids"].tolist() == [[2, 3, 2], [4, 7, 7], [1, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]


def test_a_length_that_the_model_fixes_is_kept_and_types_are_zeros(tmp_path: Path) -> None:
    inputs = [replace(spec, shape=("batch", 4)) for spec in (*INPUTS, TYPES)]
    batch = TextTokenizer(write_tokenizer(tmp_path)).encode(["good day", "day " * 9], inputs)
    assert batch["input_ids"].tolist() == [[2, 3, 7, 7], [3, 3, 3, 3]]
    assert batch["token_type_ids"].tolist() == [[0] * 4] * 2
    assert batch["token_type_ids"].dtype.name == "int32"


def test_a_long_text_is_cut_at_the_files_limit(tmp_path: Path) -> None:
    tokenizer = TextTokenizer(write_tokenizer(tmp_path, max_length=6))
    assert tokenizer.encode(["day " * 50], INPUTS)["input_ids"].shape == (1, 6)
    unlimited = TextTokenizer(write_tokenizer(tmp_path, max_length=None))
    assert unlimited.encode(["day " * 600], INPUTS)["input_ids"].shape == (1, 512)


def test_what_is_no_text_encoder_is_not_taken_for_one() -> None:
    assert takes_texts(INPUTS)
    assert takes_texts((*INPUTS, TYPES))
    assert not takes_texts((replace(INPUTS[0], dtype="float32"),))
    assert not takes_texts((INPUTS[1],)), "a mask alone"
    assert not takes_texts((INPUTS[0], replace(INPUTS[0], name="labels"))), "two inputs of ids"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "there is no text"),
        (["a"] * (MAX_TEXTS + 1), "257 texts at once"),
        (["a" * (MAX_TEXT_CHARS + 1)], "a text has 10001 characters"),
    ],
)
def test_texts_are_bounded(tmp_path: Path, texts: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TextTokenizer(write_tokenizer(tmp_path)).encode(texts, INPUTS)


def test_a_model_that_takes_no_ids_says_what_it_takes(tmp_path: Path) -> None:
    image = TensorSpec(name="image", dtype="float32", shape=("batch", 8, 8, 1))
    with pytest.raises(ValueError, match=r"its inputs are image float32\['batch', 8, 8, 1\]"):
        TextTokenizer(write_tokenizer(tmp_path)).encode(["good"], [image])


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TargetError, match=r"not a tokenizer\.json"):
        TextTokenizer(tmp_path / "tokenizer.json")
