"""What every kind of job's performer looks like to the loop that serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Answer = dict[str, Any]
Say = Callable[[str], None]


class Performer(Protocol):
    """What answers the verbs of one kind of job; `say` names the phase that begins."""

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Do what the verb says."""
        ...
