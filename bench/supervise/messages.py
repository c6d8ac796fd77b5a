"""What goes into the supervisor and what comes out of it: plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .child import Child

Isolation = Literal["namespace", "group"]

DeathStatus = Literal["ok", "failed", "crashed", "oom", "timeout", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to start: `environment` is complete, nothing of the parent's is added but its own nonce and TMPDIR.

    To a process that `speaks`, the supervisor appends `--fd N` to `argv`; N is the child's end of the result channel.
    Others (servers, brokers) are never asked anything and are told to leave by SIGTERM. `network`: a private one with
    nothing but a loopback, the host's, or the private one of another child (`joins`); where the isolation is no more
    than a process group, all are on the host's.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_dir: Path
    log_path: Path
    cpu_ids: tuple[int, ...] | None = None
    memory_limit_bytes: int | None = None
    speaks: bool = True
    network: Literal["private", "host"] = "private"
    joins: Child | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """A question that was asked; exchanged for its outcome by `Supervisor.gather`."""

    child: Child
    seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the child answered under `ok`."""

    body: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildError:
    """The child lives and says that it could not do what was asked; `oom` when its own memory limit was the cause."""

    type: str
    message: str
    status: Literal["failed", "oom"] = "failed"
    hint: str = ""
    culprit: str = "target"
    traceback: str = ""
    phase: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """The child and all its descendants are gone. `reason` is one line; `log_tail` its last words, safe to print.

    `ok` only after `Supervisor.stop` of a child that left by itself with exit code 0; `cancelled` when the supervisor
    killed it for the operator. `exit_code` is None when a signal ended it, `signal_name` is empty when none did.
    """

    status: DeathStatus
    reason: str = ""
    phase: str = ""
    exit_code: int | None = None
    signal_name: str = ""
    log_tail: str = ""
    peak_memory_bytes: int = 0  # peak resident set of its largest process, as the kernel counted it


Outcome = Answer | ChildError | Death
