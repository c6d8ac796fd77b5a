"""Cells behind a server: gathered by model, each beside its variant in process, with what to take, for all views."""

from .row import ServedRow
from .section import ServedSection, gather

__all__ = ["ServedRow", "ServedSection", "gather"]
