"""LiteRT's operator profiling: XNNPACK's kernels by name, and the interpreter's own for what XNNPACK does not take."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from bench.core.profiling import Profile, Subject

from .clock import anchor
from .host import Span, watch
from .litert_library import Event, LibrarySession
from .ops import Executed, op_events, op_profile

_TRACK = "litert (from the beginning of the call, one after the other)"
_FIRST_OF_CALL = "LiteRT::Run[buffer registration]"
_GRAPH = "Invoke"
_GRAPH_TYPE = 1
#: Operators of the interpreter itself, of a delegate as a whole, and of those inside a delegate.
_OWN, _INSIDE = 2, 8
#: `Convolution (NHWC, F32) IGEMM`: what is in brackets is the layout and the element types.
_KERNEL = re.compile(r"^(?P<kind>[^(]+?) \((?P<layout>[^,)]+)(, (?P<dtype>[^)]+))?\)")
_NOTES = (
    "opened by LiteRT's C library, with XNNPACK like the timed interpreter, which cannot be told to profile",
    "times are whole microseconds: shorter operators count as nothing",
    "#1, #2 ... count the operators of a kind within one call",
)


class LiteRt:
    """Looks into TensorFlow Lite files that LiteRT runs."""

    def profile(self, subject: Subject) -> Profile:
        """Kernels with layout and element types, as XNNPACK names them."""
        opened: list[LibrarySession] = []
        noted: list[Event] = []

        def open_library() -> LibrarySession:
            opened.append(LibrarySession(subject.artifact, threads=subject.cell.limits.threads))
            return opened[-1]

        @contextmanager
        def profiling() -> Iterator[None]:
            with opened[0].profiling(noted):
                yield

        watched = watch(replace(subject, open=open_library), calling=profiling())
        calls = list(_calls(noted))
        runs = [_span(events) for events in calls]
        found = anchor("LiteRT's profiler", (*watched.calls, watched.followed), runs)
        executed = [list(_executed(events)) for events in calls]
        return Profile(
            profiler="litert",
            pid=os.getpid(),
            ops=op_profile("litert", watched, executed, notes=_NOTES),
            events=(*watched.events, *(event for ops in executed for event in op_events(ops, found))),
            anchor=found,
        )


def _calls(noted: Sequence[Event]) -> Iterator[list[Event]]:
    """The notes of each call."""
    starts = [place for place, event in enumerate(noted) if event.tag == _FIRST_OF_CALL]
    for start, end in zip(starts, (*starts[1:], len(noted)), strict=True):
        yield list(noted[start:end])


def _span(events: Sequence[Event]) -> Span:
    timed = [event for event in events if event.start_us]
    end_us = max(event.start_us + event.elapsed_us for event in timed)
    return Span(timed[0].start_us * 1000, end_us * 1000)


def _executed(events: Sequence[Event]) -> Iterator[Executed]:
    """Operators in the order of their execution; those inside XNNPACK have a duration, but no time of beginning."""
    at_us = next(event.start_us for event in events if event.tag == _GRAPH and event.type == _GRAPH_TYPE)
    counts: Counter[str] = Counter()
    for event in events:
        if event.type not in (_OWN, _INSIDE):
            continue
        parts = _KERNEL.match(event.tag)
        kind = event.tag if parts is None else parts["kind"]
        counts[kind] += 1
        at_us = max(at_us, event.start_us)
        yield Executed(
            name=f"{kind} #{counts[kind]}",
            kind=kind,
            span=Span(at_us * 1000, (at_us + event.elapsed_us) * 1000),
            track=_TRACK,
            kernel=f"XNNPACK{event.tag.removeprefix(kind)}" if event.type == _INSIDE else "LiteRT",
            dtype="" if parts is None else (parts["dtype"] or "").lower(),
        )
        at_us += event.elapsed_us


PROFILER = LiteRt()
