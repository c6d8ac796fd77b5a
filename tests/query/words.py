"""A tokenizer of five words, as the file that Hugging Face's tokenizers read."""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.artifact import TensorSpec

VOCABULARY = {"[PAD]": 7, "[UNK]": 1, "good": 2, "day": 3, "night": 4}
INPUTS = (
    TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),
    TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence")),
)
OUTPUTS = (TensorSpec(name="sentence_embedding", dtype="float32", shape=("batch", 4)),)


def write_tokenizer(directory: Path, *, max_length: int | None = 6) -> Path:
    truncation = None
    if max_length is not None:
        truncation = {"direction": "Right", "max_length": max_length, "strategy": "LongestFirst", "stride": 0}
    described = {
        "version": "1.0",
        "truncation": truncation,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    }
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(described))
    return path
