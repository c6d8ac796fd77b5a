"""What a look inside one cell yields: times of operators, of lines, of functions, and events on one clock.

It comes from a second pass in a process of its own, which is slower than the timed one: a profile says where time
goes, never how long a call takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .artifact import Artifact
from .cell import Cell

if TYPE_CHECKING:
    from .contracts import Batch, Session

#: Opening the model once, or calling it again and again.
Phase = Literal["open", "call"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OpTime:
    """One operator of the graph that the runtime really executed, after all of its own rewriting.

    `name` is the node's, `kind` the operator's (Conv, MatMul ...). `kernel` names what ran as the runtime calls it
    (brgconv_avx512_bf16, _MklNativeFusedConv2D ...) and `dtype` its element type; both are empty where the runtime
    does not say. `ns_per_call` includes all that the operator calls: no operator of a profile is inside another.
    """

    name: str
    kind: str
    ns_per_call: float
    calls_per_run: float
    kernel: str = ""
    dtype: str = ""

    @property
    def ns_per_run(self) -> float:
        """Its share of one call of the model."""
        return self.ns_per_call * self.calls_per_run


@dataclass(frozen=True, kw_only=True, slots=True)
class OpProfile:
    """The operators of one variant over `runs` watched calls of the model, those that take longest first.

    All numbers are means over the faster half of these calls. `wall_ns_per_run` is how long a call takes its caller,
    under the profiler: what the operators do not account for is the runtime's and the caller's own work, and what
    several threads do at once counts twice.
    """

    runtime: str
    runs: int
    wall_ns_per_run: float
    ops: tuple[OpTime, ...]
    notes: tuple[str, ...] = ()

    @property
    def ops_ns_per_run(self) -> float:
        """What the operators account for."""
        return sum(op.ns_per_run for op in self.ops)


@dataclass(frozen=True, kw_only=True, slots=True)
class LineTime:
    """One line of Python: how often it ran and for how long in all; what it calls is included."""

    file: str
    line: int
    function: str
    hits: int
    ns: int
    text: str
    phase: Phase = "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionTime:
    """One function, of Python or native: `own_ns` is without what it calls, `total_ns` with it."""

    file: str
    line: int
    function: str
    calls: int
    own_ns: int
    total_ns: int
    phase: Phase = "call"


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceEvent:
    """Something that began and lasted, in ns of the machine's monotonic clock (`time.perf_counter_ns`).

    `track` is the row of the trace it lies on: "host" for Python, else the runtime's thread.
    """

    name: str
    category: Literal["phase", "call", "python", "op"]
    start_ns: int
    duration_ns: int
    track: str
    args: tuple[tuple[str, str], ...] = ()

    @property
    def end_ns(self) -> int:
        """When it was over."""
        return self.start_ns + self.duration_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockAnchor:
    """How a runtime's clock was mapped to the machine's monotonic one: monotonic = runtime's + `offset_ns`.

    The true offset lies within `residual_ns` of it, where `method` holds.
    """

    clock: str
    offset_ns: int
    residual_ns: int
    method: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one profiler found; `files` are paths below the subject's `out_dir` that it left for other tools."""

    profiler: str
    pid: int
    ops: OpProfile | None = None
    lines: tuple[LineTime, ...] = ()
    functions: tuple[FunctionTime, ...] = ()
    events: tuple[TraceEvent, ...] = ()
    anchor: ClockAnchor | None = None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a profiler looks into, alone in a fresh process.

    `open` opens the artifact with the cell's adapter, options and threads, as the timed pass does: a profiler whose
    runtime must be told beforehand switches profiling on around it. `batch` is the first of the cell's inputs, `runs`
    how many calls to profile, `adapter_module` the module of the adapter.
    """

    cell: Cell
    artifact: Artifact
    batch: Batch
    runs: int
    out_dir: Path
    adapter_module: str
    open: Callable[[], Session]
