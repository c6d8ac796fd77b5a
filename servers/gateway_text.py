"""Texts instead of token ids: `{"sentences": ["..."]}` is a request like any other where the model has a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.core.artifact import TensorSpec
from bench.formats.tokenizer import MAX_TEXTS, TextTokenizer
from bench.wire.encoding import WireError

if TYPE_CHECKING:
    from bench.core.contracts import Batch

    from .exchange import Answer, Decode

#: Where clients that know nothing but sentences send them, whatever content type they name.
SENTENCES_PATH = "/"
_KEY = b'"sentences"'


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    sentences: list[str]


def with_sentences(decode: Decode, answer: Answer, tokenizer_path: str, inputs: Sequence[TensorSpec]) -> Decode:
    """`decode`, which is of JSON, for bodies with sentences too: they become token ids and get `answer`."""
    tokenizer = TextTokenizer(Path(tokenizer_path))

    def decode_either(body: bytes, headers: Mapping[str, str]) -> tuple[Batch, Answer]:
        if _KEY not in body:
            return decode(body, headers)
        try:
            batch = tokenizer.encode(msgspec.json.decode(body, type=_Request).sentences, inputs)
        except ValueError as error:  # of msgspec too
            raise WireError(f"not {{'sentences': [1 to {MAX_TEXTS} texts]}}: {error}") from error
        return batch, answer

    return decode_either
