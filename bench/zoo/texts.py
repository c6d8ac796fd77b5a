"""Where the tokenizer of a model that reads text lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.core.cell import ModelRef

from . import minilm

_TOKENIZER = "tokenizer.json"
_OF_ZOO: Mapping[str, Callable[[], Path]] = {"minilm": minilm.tokenizer_path}


def tokenizer_of(model: ModelRef) -> Path | None:
    """The zoo model's own, or a `tokenizer.json` in or beside the user's model; None where there is none.

    HostError when the zoo model's was not fetched.
    """
    if model.kind == "zoo":
        return zoo_tokenizer(model.location)
    if model.kind != "path":
        return None
    place = Path(model.location)
    return next((path for path in (place / _TOKENIZER, place.parent / _TOKENIZER) if path.is_file()), None)


def zoo_tokenizer(name: str) -> Path | None:
    """The tokenizer of the zoo model of that name, None where it reads no text."""
    find = _OF_ZOO.get(name)
    return find() if find is not None else None
