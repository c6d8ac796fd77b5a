"""Profiles as profilers give them, written by hand."""

from __future__ import annotations

from bench.core.cell import StepCall
from bench.core.profiling import OpProfile, OpTime
from bench.explain.speed import Explanation, Subject, explain
from bench.explain.speed_words import speed_words

VNNI = ("avx2", "avx512f", "avx512_vnni")


def op(kind: str, ms: float, *, count: float = 1, kernel: str = "", dtype: str = "float") -> OpTime:
    """`count` operators that take `ms` together."""
    return OpTime(
        name=kind.lower(), kind=kind, ns_per_call=ms * 1e6 / count, calls_per_run=count, kernel=kernel, dtype=dtype
    )


def subject(
    variant: str,
    wall_ms: float,
    *ops: OpTime,
    runtime: str = "onnxruntime",
    profiled_ms: float | None = None,
    steps: tuple[StepCall, ...] = (),
) -> Subject:
    """A variant whose profiled calls took as long as the timed ones, unless told otherwise."""
    profile = OpProfile(
        runtime=runtime, runs=20, wall_ns_per_run=(wall_ms if profiled_ms is None else profiled_ms) * 1e6, ops=ops
    )
    return Subject(variant=variant, cell_id=f"m.{variant}", wall_ms=wall_ms, profile=profile, steps=steps)


def explained(a: Subject, b: Subject, flags: tuple[str, ...] = VNNI) -> Explanation:
    """Of a model called m, timed by nobody."""
    return explain("m", a, b, cpu_flags=flags, timed_by="test")


def words(a: Subject, b: Subject, flags: tuple[str, ...] = VNNI) -> str:
    """All sentences, one a line."""
    return "\n".join(speed_words(explained(a, b, flags)))
