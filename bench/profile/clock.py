"""One clock for all: a runtime's times are moved onto the machine's monotonic clock by the calls that both noted."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.errors import TargetError
from bench.core.profiling import ClockAnchor

from .host import Span


def anchor(clock: str, host: Sequence[Span], runtime: Sequence[Span]) -> ClockAnchor:
    """The offset that puts each of the runtime's notes of a call inside the host's of the same call.

    Each pair bounds it from both sides: `host.start - runtime.start <= offset <= host.end - runtime.end`. The middle of
    what all pairs allow is taken, and half of its width is what remains unknown. TargetError where the runtime noted
    another number of calls, for then no pair can be told.
    """
    if len(host) != len(runtime) or not host:
        raise TargetError(
            f"{clock} noted {len(runtime)} calls of {len(host)}", hint="fewer calls (--runs) may fit its buffers"
        )
    pairs = list(zip(host, runtime, strict=True))
    least_ns = max(ours.start_ns - theirs.start_ns for ours, theirs in pairs)
    most_ns = min(ours.end_ns - theirs.end_ns for ours, theirs in pairs)
    agree = least_ns <= most_ns
    return ClockAnchor(
        clock=clock,
        offset_ns=(least_ns + most_ns) // 2,
        residual_ns=(abs(most_ns - least_ns) + 1) // 2,
        method=f"each of {len(pairs)} calls noted by the runtime lies inside the host's"
        if agree
        else f"the two clocks drift: no offset fits all of {len(pairs)} calls, the middle one was taken",
    )
