"""Texts to token ids with a `tokenizer.json`, the file in which Hugging Face's tokenizers keep vocabulary and rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.artifact import TensorSpec
from bench.core.errors import TargetError

from .messages import telling_line

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

MAX_TEXTS = 256
MAX_TEXT_CHARS = 10_000
_USUAL_TOKENS = 512  # the table of positions of BERT, where the file names no limit of its own
_PADDING = "[PAD]"


class TextTokenizer:
    """A tokenizer from its file; calls take one thread, whatever the machine has."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises no narrower one
            raise TargetError(f"{path}: not a tokenizer.json: {telling_line(error)}") from error
        truncation, padding = self._tokenizer.truncation, self._tokenizer.padding
        self.max_tokens: int = (truncation or {}).get("max_length", _USUAL_TOKENS)
        self._padding_id: int = padding["pad_id"] if padding else self._tokenizer.token_to_id(_PADDING) or 0
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str], inputs: Sequence[TensorSpec]) -> Batch:
        """Arrays [texts, tokens] for the inputs of an encoder: ids, and its mask and token types where it has them.

        All texts are as long as the longest, cut at the file's limit, or as long as the model fixes. ValueError: no
        texts, too many or too long ones, or inputs that are no text encoder's.
        """
        _require_texts(texts)
        length = _fixed_length(inputs)
        self._tokenizer.enable_truncation(max_length=min(length or self.max_tokens, self.max_tokens))
        encoded = [self._tokenizer.encode(text) for text in texts]
        length = length or max(len(each.ids) for each in encoded)
        return {spec.name: self._tensor(spec, encoded, length) for spec in inputs}

    def _tensor(self, spec: TensorSpec, encoded: Sequence[Any], length: int) -> Array:
        import numpy as np

        rows, fill = self._rows(spec, encoded)
        values = np.full((len(rows), length), fill, spec.dtype)
        for row, tokens in zip(values, rows, strict=True):
            row[: len(tokens)] = tokens
        return values

    def _rows(self, spec: TensorSpec, encoded: Sequence[Any]) -> tuple[list[list[int]], int]:
        """The numbers of each text for one input, and what stands behind its end."""
        name = spec.name.lower()
        if "mask" in name:
            return [each.attention_mask for each in encoded], 0
        if "type" in name or "segment" in name:
            return [each.type_ids for each in encoded], 0
        return [each.ids for each in encoded], self._padding_id


def takes_texts(inputs: Sequence[TensorSpec]) -> bool:
    """Whether these are inputs that `TextTokenizer.encode` fills: integers [batch, tokens], ids among them."""
    are_ids = [spec for spec in inputs if not any(word in spec.name.lower() for word in ("mask", "type", "segment"))]
    return len(are_ids) == 1 and all(spec.dtype in {"int32", "int64"} and len(spec.shape) == 2 for spec in inputs)


def _require_texts(texts: Sequence[str]) -> None:
    if not texts:
        raise ValueError("there is no text")
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"{len(texts)} texts at once, at most {MAX_TEXTS} are taken")
    longest = max(map(len, texts))
    if longest > MAX_TEXT_CHARS:
        raise ValueError(f"a text has {longest} characters, at most {MAX_TEXT_CHARS} are taken")


def _fixed_length(inputs: Sequence[TensorSpec]) -> int | None:
    """The number of tokens that the model fixes, None where it takes any."""
    if not takes_texts(inputs):
        listed = ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in inputs)
        raise ValueError(f"the model does not take token ids: its inputs are {listed}")
    lengths = {spec.shape[1] for spec in inputs if isinstance(spec.shape[1], int)}
    if len(lengths) > 1:
        raise ValueError(f"the inputs of the model differ in their length: {sorted(lengths)}")
    return lengths.pop() if lengths else None
