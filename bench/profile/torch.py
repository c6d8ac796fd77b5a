"""torch.profiler: the operators that PyTorch dispatches, and the fused loops of `torch.compile`."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from bench.core.profiling import Profile, Subject

from .clock import anchor
from .host import Span, watch
from .ops import Executed, by_call, op_events, op_profile

#: Operators have one: aten::conv2d, quantized::linear.
_NAMESPACE = re.compile(r"\w+::")
#: A loop that the compiler wrote: the number of its graph comes first.
_FUSED_LOOP = re.compile(r"graph_\d+_(?=cpp_)")
_CALL = "deploybench call"
_FILE = "torch.json"
_NOTES = (
    "one line for each operator that the model calls; kernel is the operator inside it that takes longest",
    "PyTorch knows no names of nodes: #1, #2 ... count the operators of a kind within one call",
)


class Torch:
    """Looks into models of PyTorch, eager and compiled."""

    def profile(self, subject: Subject) -> Profile:
        """Operators with what they call inside; PyTorch's own trace is kept."""
        from torch.profiler import ProfilerActivity, profile

        _name_fused_loops()
        profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True)
        watched = watch(subject, calling=profiler, mark=_mark)
        watched.session.close()
        profiler.export_chrome_trace(str(subject.out_dir / _FILE))
        noted = list(_noted(profiler.profiler.kineto_results.events()))
        runs = [each.span for each in noted if each.name == _CALL]
        found = anchor("PyTorch's profiler", (*watched.calls, watched.followed), runs)
        operators = [each for each in noted if each.is_operator]
        outer = by_call((_executed(each) for each in operators if not each.is_inside_operator), runs)
        drawn = by_call((_drawn(each) for each in operators), runs)
        return Profile(
            profiler="torch",
            pid=os.getpid(),
            ops=op_profile("torch", watched, _with_usual_kernels([_numbered(ops) for ops in outer]), notes=_NOTES),
            events=(*watched.events, *(event for ops in drawn for event in op_events(ops, found))),
            anchor=found,
            files=(_FILE,),
        )


def _name_fused_loops() -> None:
    """Loops that the compiler writes note themselves only when told so before they are compiled."""
    # Read when the compiler is imported: otherwise a pool of compiler processes stays beside the profiled one.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    import torch._inductor.config as inductor

    inductor.cpp.enable_kernel_profile = True


def _mark() -> AbstractContextManager[Any]:
    from torch.profiler import record_function

    marked: AbstractContextManager[Any] = record_function(_CALL)
    return marked


@dataclass(kw_only=True, slots=True)
class _Noted:
    """One of PyTorch's notes; `heaviest` is the longest of the operators right inside it."""

    name: str
    span: Span
    thread: int
    dtype: str
    is_inside_operator: bool
    heaviest: _Noted | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it is work, and not a mere frame around work such as a compiled region."""
        return any(pattern.match(self.name) for pattern in (_NAMESPACE, _FUSED_LOOP))

    @property
    def kernel(self) -> str:
        """The name of the operator in which most of the time was spent, as deep as that can be said."""
        inside = self.heaviest
        if inside is None or inside.span.duration_ns < self.span.duration_ns / 2:
            return _NAMESPACE.sub("", self.name)
        return inside.kernel


def _noted(events: Sequence[Any]) -> Iterator[_Noted]:
    """PyTorch's notes in the order of their beginning; on one thread they are nested."""
    open_notes: dict[int, list[_Noted]] = defaultdict(list)
    for event in sorted(events, key=lambda event: (event.start_ns(), -event.duration_ns())):
        stack = open_notes[event.start_thread_id()]
        while stack and stack[-1].span.end_ns <= event.start_ns():
            stack.pop()
        note = _Noted(
            name=event.name(),
            span=Span(event.start_ns(), event.start_ns() + event.duration_ns()),
            thread=event.start_thread_id(),
            dtype=next((dtype for dtype in event.dtypes() if dtype and not dtype.startswith("Scalar")), ""),
            is_inside_operator=any(outer.is_operator for outer in stack),
        )
        if stack and note.is_operator:
            heaviest = stack[-1].heaviest
            if heaviest is None or note.span.duration_ns > heaviest.span.duration_ns:
                stack[-1].heaviest = note
        stack.append(note)
        yield note


def _executed(note: _Noted) -> Executed:
    kind = _FUSED_LOOP.sub("", note.name).removeprefix("aten::")
    return replace(_drawn(note), name=kind, kind=kind, kernel=note.kernel, dtype=note.dtype)


def _drawn(note: _Noted) -> Executed:
    """An operator at any depth, as the trace shows it."""
    return Executed(name=note.name, kind=note.name, span=note.span, track=f"torch thread {note.thread}")


def _numbered(ops: Sequence[Executed]) -> list[Executed]:
    counts: Counter[str] = Counter()
    numbered = []
    for op in ops:
        counts[op.kind] += 1
        numbered.append(replace(op, name=f"{op.kind} #{counts[op.kind]}"))
    return numbered


def _with_usual_kernels(calls: Sequence[Sequence[Executed]]) -> list[list[Executed]]:
    """Each operator with its kernel in most calls: an interruption makes a small one look like the longest."""
    kernels: dict[str, Counter[str]] = defaultdict(Counter)
    for ops in calls:
        for op in ops:
            kernels[op.name][op.kernel] += 1
    usual = {name: counts.most_common(1)[0][0] for name, counts in kernels.items()}
    return [[replace(op, kernel=usual[op.name]) for op in ops] for ops in calls]


PROFILER = Torch()
