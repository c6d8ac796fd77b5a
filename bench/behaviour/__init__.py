"""Checks of a model's behaviour, made inside a worker on an opened session: pure functions over its answers."""

from __future__ import annotations

from .checks import make_check
from .subject import Subject

__all__ = ["Subject", "make_check"]
