"""One supervised process tree as its parent sees it."""

from __future__ import annotations

from .messages import Death, ProcessSpec


class Child:
    """A started process; `pid` is the payload's in the runner's view."""

    spec: ProcessSpec
    pid: int
    hello: dict[str, object]
    phase: str
    death: Death | None
