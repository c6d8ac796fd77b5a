"""The caller's side of a look: phases, calls and Python functions, in ns of the machine's monotonic clock."""

from __future__ import annotations

import inspect
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from types import CodeType, FrameType
from typing import Any, NamedTuple

import bench
from bench.core.contracts import Session
from bench.core.profiling import Subject, TraceEvent

#: Calls before the watched ones: a runtime's first ones compile, allocate and choose kernels.
WARM_UP_CALLS = 5
HOST_TRACK = "host"

Marker = Callable[[], AbstractContextManager[Any]]


class Span(NamedTuple):
    """From when to when, in ns of one clock."""

    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """How long it lasted."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """An open session and what its caller saw: `calls` are the watched ones, `followed` is one call more in which
    Python functions were followed, which makes it slower than the others."""

    session: Session
    calls: tuple[Span, ...]
    followed: Span
    events: tuple[TraceEvent, ...]

    @property
    def quiet_calls(self) -> tuple[int, ...]:
        """Positions of the faster half of the watched calls: other work makes a call longer, never shorter."""
        by_duration = sorted(range(len(self.calls)), key=lambda number: self.calls[number].duration_ns)
        return tuple(by_duration[: (len(by_duration) + 1) // 2])

    @property
    def wall_ns_per_run(self) -> float:
        """The mean quiet call."""
        return fmean(self.calls[number].duration_ns for number in self.quiet_calls)


def watch(
    subject: Subject,
    *,
    opening: AbstractContextManager[Any] | None = None,
    calling: AbstractContextManager[Any] | None = None,
    mark: Marker | None = None,
    warmed_up: Callable[[Callable[[], Any]], None] | None = None,
    all_watched: Callable[[], None] | None = None,
    follow: bool = True,
) -> Watched:
    """Open, bind, warm up, then call `subject.runs` times and once more, all of it noted.

    `opening` surrounds the opening, `calling` all watched calls, `mark()` each of them from within: the runtime's own
    note of a call lies inside the host's. `warmed_up` is given the bound call before the first watched one, and
    `all_watched` comes after the last of them, before the followed one. `follow` False leaves Python's profiling hook
    to someone else.
    """
    track = _Track(follow=follow)
    with track.phase("open"), opening or nullcontext(), track.following():
        session = subject.open()
    with track.phase("bind"), track.following():
        call = session.bind(subject.batch)
    with track.phase("warm-up"):
        for _ in range(WARM_UP_CALLS):
            call()
    if warmed_up is not None:
        warmed_up(call)
    track.watch_file_of(call)
    marker = mark or nullcontext
    with calling or nullcontext():
        times_ns = [_call(call, marker) for _ in range(subject.runs)]
        if all_watched is not None:
            all_watched()
        with track.following():
            times_ns.append(_call(call, marker))
    calls = [Span(*times) for times in times_ns]
    for number, span in enumerate(calls):
        followed = " (Python functions followed)" if number == subject.runs else ""
        track.add(f"call {number}{followed}", "call", span)
    return Watched(session=session, calls=tuple(calls[:-1]), followed=calls[-1], events=tuple(track.events))


def _call(call: Callable[[], Any], mark: Marker) -> tuple[int, int]:
    """One call of the model: when it began and when it was over."""
    start_ns = time.perf_counter_ns()
    with mark():
        call()
    return start_ns, time.perf_counter_ns()


def function_of(call: Callable[..., Any]) -> Callable[..., Any]:
    """The function under partials and bound methods."""
    while isinstance(call, partial):
        call = call.func
    function: Callable[..., Any] = inspect.unwrap(getattr(call, "__func__", call))
    return function


def is_own_code(file: str) -> bool:
    """Whether a source file is the user's or one of ours that works for them, not a library's."""
    if file.startswith("<") or not file:
        return False
    path = str(Path(file).absolute())
    if path.startswith(_OURS):
        return not path.startswith(_WATCHERS)
    return not path.startswith(_LIBRARIES)


def _library_directories() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(f"{paths[name]}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))


_LIBRARIES = _library_directories()
_OURS = f"{Path(bench.__file__).parent}/"
_WATCHERS = tuple(f"{_OURS}{room}/" for room in ("profile", "worker", "core"))


class _Track:
    """Events of the calling thread, as they happen."""

    def __init__(self, *, follow: bool) -> None:
        self.events: list[TraceEvent] = []
        self._follow = follow
        self._is_own: dict[CodeType, bool] = {}
        self._files: set[str] = set()

    def watch_file_of(self, call: Callable[..., Any]) -> None:
        """Follow the functions of the bound call's own file, too, be it a library's."""
        code = getattr(function_of(call), "__code__", None)
        if code is not None:
            self._files.add(code.co_filename)
            self._is_own.clear()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note from when to when the block ran."""
        start_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(name, "phase", Span(start_ns, time.perf_counter_ns()))

    @contextmanager
    def following(self) -> Iterator[None]:
        """Note each own function that runs in the block."""
        if not self._follow:
            yield
            return
        began_ns: list[tuple[CodeType, int]] = []

        def note(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            if event == "call" and self._follows(code):
                began_ns.append((code, time.perf_counter_ns()))
            elif event == "return" and began_ns and began_ns[-1][0] is code:
                self._note_function(code, Span(began_ns.pop()[1], time.perf_counter_ns()))

        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _follows(self, code: CodeType) -> bool:
        known = self._is_own.get(code)
        if known is None:
            known = code.co_filename in self._files or is_own_code(code.co_filename)
            self._is_own[code] = known
        return known

    def _note_function(self, code: CodeType, span: Span) -> None:
        place = f"{code.co_filename}:{code.co_firstlineno}"
        name = f"import {Path(code.co_filename).stem}" if code.co_name == "<module>" else code.co_qualname
        self.add(name, "python", span, (("place", place),))

    def add(self, name: str, category: Any, span: Span, args: tuple[tuple[str, str], ...] = ()) -> None:
        """Note something that is over."""
        self.events.append(
            TraceEvent(
                name=name,
                category=category,
                start_ns=span.start_ns,
                duration_ns=span.duration_ns,
                track=HOST_TRACK,
                args=args,
            )
        )
