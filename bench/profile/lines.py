"""line_profiler over the adapter's module, the bound call, and whatever Python of the user's runs inside a call."""

from __future__ import annotations

import gc
import importlib
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

from bench.core.profiling import LineTime, Phase, Profile, Subject

from .host import function_of, is_own_code, watch


class LineProfiler:
    """Looks at lines, with every adapter."""

    def profile(self, subject: Subject) -> Profile:
        """Lines that ran of the functions looked at, while calling and while opening; `.lprof` for line_profiler."""
        from line_profiler import LineProfiler as Lines

        opening, calling = Lines(), Lines()
        for function in _functions_of_module(subject.adapter_module):
            opening.add_function(function)

        def choose(call: Callable[[], Any]) -> None:
            for function in _functions_of_call(call):
                calling.add_function(function)

        watched = watch(subject, opening=_on(opening), calling=_on(calling), warmed_up=choose)
        watched.session.close()
        calling.dump_stats(subject.out_dir / "lines.lprof")
        return Profile(
            profiler="line_profiler",
            pid=os.getpid(),
            lines=(*_lines(calling, "call"), *_lines(opening, "open")),
            events=watched.events,
            files=("lines.lprof",),
            notes=("a line's time includes what it calls; watching costs up to a microsecond a line",),
        )


@contextmanager
def _on(lines: Any) -> Iterator[None]:
    lines.enable_by_count()
    try:
        yield
    finally:
        lines.disable_by_count()


def _functions_of_module(name: str) -> Iterator[FunctionType]:
    """Functions and methods of the adapter's module, and what it has from others of our modules."""
    for value in vars(importlib.import_module(name)).values():
        members = vars(value).values() if inspect.isclass(value) and value.__module__ == name else (value,)
        for member in members:
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and is_own_code(function.__code__.co_filename):
                yield function


def _functions_of_call(call: Callable[[], Any]) -> list[FunctionType]:
    """The bound call's function and all own functions that run inside it, found out by one call."""
    codes: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and is_own_code(frame.f_code.co_filename):
            codes[frame.f_code] = None

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    found = {id(function): function for code in codes for function in _functions_with(code)}
    bound = function_of(call)
    if isinstance(bound, FunctionType):
        found[id(bound)] = bound
    return list(found.values())


def _functions_with(code: CodeType) -> list[FunctionType]:
    """line_profiler must be given functions, and a frame knows its code only."""
    return [each for each in gc.get_referrers(code) if isinstance(each, FunctionType) and each.__code__ is code]


def _lines(lines: Any, phase: Phase) -> list[LineTime]:
    """Lines that ran, those of the longest function first, each function's in the order of its text."""
    stats = lines.get_stats()
    in_ns = stats.unit * 1e9
    found: list[tuple[float, list[LineTime]]] = []
    for (file, _, function), timings in stats.timings.items():
        own = [
            LineTime(
                file=file,
                line=line,
                function=function,
                hits=hits,
                ns=round(time * in_ns),
                text=linecache.getline(file, line).strip(),
                phase=phase,
            )
            for line, hits, time in timings
        ]
        found.append((sum(each.ns for each in own), own))
    found.sort(key=lambda each: -each[0])
    return [line for _, own in found for line in own]


PROFILER = LineProfiler()
