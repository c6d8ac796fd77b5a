"""What people write, checked and multiplied out: matrix file -> groups of cells."""

from __future__ import annotations

from .loading import load, matrix_for_model
from .matrix import Matrix
from .replaying import replay_matrix
from .schema import schema

__all__ = ["Matrix", "load", "matrix_for_model", "replay_matrix", "schema"]
