"""From a file, a text or a model's path to a Matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .matrix import Matrix


def load(
    path_or_text: Path | str,
    *,
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    trusted: Sequence[str] = (),
) -> Matrix:
    """Read, check and expand a matrix; a string with a line break is the matrix itself, anything else is a path.

    `sets` are `a.b=c` overrides, `only` are patterns on cell ids or `model.variant` (the reference of every selected
    group stays), `quick` buys less measuring, `trusted` are locations of models the user vouches for.
    MatrixError.problems holds one message per mistake, each with its place.
    """
    raise NotImplementedError


def matrix_for_model(
    model: str,
    *,
    inputs: str = "",
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
    quick: bool = False,
    trusted: Sequence[str] = (),
) -> Matrix:
    """The matrix of one model, a path or a zoo name: its unmodified form as reference, and what can be made of it.

    `inputs` is the user's own .npz, .npy or .jsonl.
    """
    raise NotImplementedError
