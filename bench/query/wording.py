"""Readings as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .reading import Classes, ClassScore, Embeddings, Reading, Tensor

_SHOWN_SAMPLES = 10
_SHOWN_IN_LINE = 3
_TEXT_CHARS = 60
_MATRIX_TEXTS = 12  # more columns are wider than a terminal


def lines_of(reading: Reading, texts: Sequence[str] = ()) -> Iterator[str]:
    """What was read, for people; `texts` are what embeddings were made of."""
    if isinstance(reading, Classes):
        yield from _classes(reading)
    elif isinstance(reading, Embeddings):
        yield from _embeddings(reading, texts)
    else:
        yield _tensor(reading)


def _classes(found: Classes) -> Iterator[str]:
    what = f"softmax of {found.output!r}, which holds no probabilities" if found.from_logits else f"{found.output!r}"
    yield f"probabilities: {what}, {found.count} classes"
    if len(found.samples) > 1:
        for at, scores in enumerate(found.samples[:_SHOWN_SAMPLES]):
            yield f"  sample {at}: {', '.join(map(_in_line, scores[:_SHOWN_IN_LINE]))}"
        if len(found.samples) > _SHOWN_SAMPLES:
            yield f"  ... and {len(found.samples) - _SHOWN_SAMPLES} more samples; --json has all"
        return
    (scores,) = found.samples
    width = max(len("class"), *(len(score.label) for score in scores))
    yield f"  {'class':{width}}  probability"
    for score in scores:
        yield f"  {score.label:{width}}  {score.probability:11.4f}"
    if len(scores) < found.count:
        yield f"  ... and {found.count - len(scores)} less likely ones; --top shows more"


def _in_line(score: ClassScore) -> str:
    return f"{score.label} {score.probability:.4f}"


def _embeddings(found: Embeddings, texts: Sequence[str]) -> Iterator[str]:
    yield f"embedding: {found.output!r}, {found.size} numbers a sample"
    for at, norm in enumerate(found.norms):
        said = f"  {_shortened(texts[at])!r}" if at < len(texts) else ""
        yield f"  {at}: norm {norm:.4f}{said}"
    if len(found.norms) == 1:
        return
    if len(found.norms) > _MATRIX_TEXTS:
        yield f"  the cosines of {len(found.norms)} samples are in --json"
        return
    yield "  cosine " + "".join(f"{at:8}" for at in range(len(found.norms)))
    for at, row in enumerate(found.cosines):
        yield f"  {at:6} " + "".join(f"{cosine:8.4f}" for cosine in row)


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else text[: _TEXT_CHARS - 1] + "…"


def _tensor(found: Tensor) -> str:
    first = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in found.first)
    between = "" if found.least is None else f", {found.least:.6g} to {found.most:.6g}"
    return f"{found.output!r}: {found.dtype} {list(found.shape)}{between}: {first}"
