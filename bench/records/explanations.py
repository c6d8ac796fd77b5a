"""What `bench explain` found, kept beside the records: a file `<A>--<B>.json` for two cells, by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from bench.core.files import write_atomic

from .codec import decode_plain, encode
from .places import writing_to

T = TypeVar("T")
#: The directory that holds answers of one sort: why one cell is slower, or where its numbers leave the other's.
Answers = Literal["explanations", "divergences"]


def write_explanation(run_dir: Path, answers: Answers, a: str, b: str, found: Any) -> Path:
    """Keep what was found of cells `a` and `b` in place of an earlier answer; StoreError when it cannot be written."""
    path = run_dir / answers / f"{a}--{b}.json"
    content = encode(found, place=path.name)
    with writing_to(
        path, "cannot be written", "the answer was not kept; free space, or let the run's directory be written"
    ):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content)
    return path


def read_explanations(run_dir: Path, answers: Answers, kind: type[T]) -> dict[str, T]:
    """All answers of one sort as `<A>--<B>` -> answer, in the order of these names; StoreError for a damaged file."""
    paths = sorted((run_dir / answers).glob("*--*.json"))
    return {path.stem: decode_plain(path.read_bytes(), kind, place=str(path)) for path in paths}
