"""From the traces of a dead child to one status and one line that says why."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from bench.core.units import format_bytes

from .messages import Death, DeathStatus

_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|[Cc]annot allocate memory|[Oo]ut of memory|OutOfMemory|OOM when allocating"
    r"|failed to (?:map|allocate)|[Ff]ailed to allocate memory|BFCArena.*Failed to allocate"
)
_LAST_LINE_CHARS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of an ended child; `sentence` is the supervisor's own judgement, when it was the one to end it."""

    wait_status: int | None
    phase: str
    log_tail: str
    sentence: tuple[DeathStatus, str] | None = None
    was_asked_to_leave: bool = False
    is_stuck: bool = False
    memory_limit_bytes: int | None = None
    peak_bytes: int = 0
    kernel_ended_one_for_memory: bool = False


def judge(evidence: Evidence) -> Death:
    """The death of a child in the words of the record."""
    status, reason = evidence.sentence or _natural(evidence)
    wait_status = evidence.wait_status
    signalled = wait_status is not None and os.WIFSIGNALED(wait_status)
    return Death(
        status=status,
        reason=f"{reason}; it could not be killed, as it is stuck inside the kernel" if evidence.is_stuck else reason,
        phase=evidence.phase,
        exit_code=os.WEXITSTATUS(wait_status) if wait_status is not None and not signalled else None,
        signal_name=signal_name(os.WTERMSIG(wait_status)) if wait_status is not None and signalled else "",
        log_tail=evidence.log_tail,
        peak_memory_bytes=evidence.peak_bytes,
    )


def _natural(evidence: Evidence) -> tuple[DeathStatus, str]:
    if evidence.wait_status is None:
        return "crashed", f"its launcher was killed from outside in {evidence.phase}"
    if os.WIFSIGNALED(evidence.wait_status):
        return _by_signal(evidence, os.WTERMSIG(evidence.wait_status))
    code = os.WEXITSTATUS(evidence.wait_status)
    if code == 0:
        if evidence.was_asked_to_leave:
            return "ok", ""
        return "failed", f"ended without a result in {evidence.phase}"
    if evidence.memory_limit_bytes is not None and is_about_memory(evidence.log_tail):
        return "oom", _memory_reason(evidence)
    last_line = evidence.log_tail.rpartition("\n")[2].strip()[:_LAST_LINE_CHARS]
    return "failed", f"exit code {code} in {evidence.phase}{': ' if last_line else ''}{last_line}"


def _by_signal(evidence: Evidence, number: int) -> tuple[DeathStatus, str]:
    if evidence.was_asked_to_leave and number == signal.SIGTERM:  # how a process that does not speak is asked
        return "ok", ""
    if evidence.memory_limit_bytes is not None and is_about_memory(evidence.log_tail):
        return "oom", _memory_reason(evidence)
    if number == signal.SIGKILL and evidence.kernel_ended_one_for_memory:
        return "oom", (
            f"the kernel killed it in {evidence.phase}, as this machine had no memory left"
            f" (peak {format_bytes(evidence.peak_bytes)})"
        )
    return "crashed", f"{signal_name(number)} in {evidence.phase}"


def _memory_reason(evidence: Evidence) -> str:
    limit, peak = format_bytes(evidence.memory_limit_bytes), format_bytes(evidence.peak_bytes)
    return f"out of memory in {evidence.phase}: limit {limit} of address space, peak {peak} resident"


def is_about_memory(text: str) -> bool:
    """Whether a message of Python, C++, TensorFlow, PyTorch or ONNX Runtime says that an allocation failed."""
    return _NO_MEMORY.search(text) is not None


def signal_name(number: int) -> str:
    """SIGSEGV and its kind; real-time signals by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kernel_memory_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes the kernel has ended for lack of memory since boot."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
