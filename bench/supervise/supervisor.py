"""The only place that starts, limits, times out and kills processes: one select loop, no threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .child import Child
from .messages import Death, Isolation, Outcome, ProcessSpec, Ticket


class Supervisor:
    """Runs children as process trees of their own; when it is left, nothing that it started is alive."""

    isolation: Isolation
    isolation_reason: str

    def __init__(self, run_dir: Path, *, isolation: Literal["auto", "namespace", "group"] = "auto") -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    @property
    def interrupted_by(self) -> int | None:
        """The signal that asked the run to stop, None when none did; never raises."""
        raise NotImplementedError

    def start(self, spec: ProcessSpec) -> Child:
        """Start a process under its limits and read them back; HostError when it cannot be started or limited."""
        raise NotImplementedError

    def ask(self, child: Child, verb: str, body: Mapping[str, Any], *, deadline_s: float) -> Ticket:
        """Put a question; returns at once. A dead child's ticket is answered by its death."""
        raise NotImplementedError

    def gather(self, tickets: Iterable[Ticket]) -> dict[Ticket, Outcome]:
        """Sleep until every ticket is answered or its child is dead; Interrupted at the first signal."""
        raise NotImplementedError

    def stop(self, child: Child, *, grace_s: float = 2.0) -> Death:
        """Ask the child to leave by closing its channel, then make it; returns when its whole tree is gone."""
        raise NotImplementedError
