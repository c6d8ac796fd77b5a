"""From what a runtime noted of its operators, call by call, to one line an operator and to events of the trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.core.profiling import ClockAnchor, OpProfile, OpTime, TraceEvent

from .host import Span, Watched

#: The mean of the faster half over the fastest call, on a machine that does nothing else, stays well below.
_QUIET_RATIO = 1.5
_Key = tuple[str, str, str, str]  # name, kind, kernel, dtype


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """One execution of an operator, in ns of the runtime's clock; `track` names its thread."""

    name: str
    kind: str
    span: Span
    track: str
    kernel: str = ""
    dtype: str = ""


def op_profile(
    runtime: str, watched: Watched, executed: Sequence[Sequence[Executed]], notes: tuple[str, ...] = ()
) -> OpProfile:
    """One line an operator, means over the quiet calls; `executed` holds what ran in each watched call, in order."""
    quiet = watched.quiet_calls
    total_ns: Counter[_Key] = Counter()
    executions: Counter[_Key] = Counter()
    for number in quiet:
        for op in executed[number]:
            key = (op.name, op.kind, op.kernel, op.dtype)
            total_ns[key] += op.span.duration_ns
            executions[key] += 1
    ops = [
        OpTime(
            name=key[0],
            kind=key[1],
            kernel=key[2],
            dtype=key[3],
            ns_per_call=total_ns[key] / executions[key],
            calls_per_run=executions[key] / len(quiet),
        )
        for key in executions
    ]
    return OpProfile(
        runtime=runtime,
        runs=len(watched.calls),
        wall_ns_per_run=watched.wall_ns_per_run,
        ops=tuple(sorted(ops, key=lambda op: -op.ns_per_run)),
        notes=(*notes, *disturbance(watched.calls, watched.wall_ns_per_run, "the faster half of them")),
    )


def disturbance(calls: Sequence[Span], mean_ns: float, of_which: str) -> Iterator[str]:
    """What to say where the calls whose mean counts differ, as they do when other work takes the processor."""
    fastest_ns = min(span.duration_ns for span in calls)
    if mean_ns > _QUIET_RATIO * fastest_ns:
        yield (
            f"other work disturbed it: the fastest call took {fastest_ns / 1e6:.3f} ms, {of_which} "
            f"{mean_ns / 1e6:.3f} ms on average"
        )


def op_events(executed: Iterable[Executed], anchor: ClockAnchor) -> tuple[TraceEvent, ...]:
    """The same as events on the machine's monotonic clock."""
    return tuple(
        TraceEvent(
            name=op.name,
            category="op",
            start_ns=op.span.start_ns + anchor.offset_ns,
            duration_ns=op.span.duration_ns,
            track=op.track,
            args=tuple((key, value) for key, value in _args(op) if value),
        )
        for op in executed
    )


def _args(op: Executed) -> tuple[tuple[str, str], ...]:
    return ("op", op.kind), ("kernel", op.kernel), ("dtype", op.dtype)


def innermost(executed: Iterable[Executed], holders: Container[str] | None = None) -> Iterator[Executed]:
    """Without operators around other operators of the same thread, such as loops and calls of functions.

    `holders` are the kinds that alone can be around others: where times are too coarse to tell inside from before.
    """
    in_order = sorted(executed, key=lambda op: (op.track, op.span.start_ns, -op.span.end_ns))
    for op, following in zip(in_order, (*in_order[1:], None), strict=True):
        is_around = (
            following is not None
            and following.track == op.track
            and following.span.start_ns < op.span.end_ns
            and (holders is None or op.kind in holders)
        )
        if not is_around:
            yield op


def by_call(executed: Iterable[Executed], calls: Sequence[Span]) -> list[list[Executed]]:
    """What ran in each call, both in ns of the runtime's clock; what began outside of all calls is left out."""
    sorted_ops = sorted(executed, key=lambda op: op.span.start_ns)
    shares: list[list[Executed]] = [[] for _ in calls]
    number = 0
    for op in sorted_ops:
        while number < len(calls) and op.span.start_ns > calls[number].end_ns:
            number += 1
        if number < len(calls) and op.span.start_ns >= calls[number].start_ns:
            shares[number].append(op)
    return shares
