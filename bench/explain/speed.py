"""Why one variant is slower or faster than another: where their operators' times differ, by kind of work.

Times of operators come from profiled passes, the two wall times from timed ones. A profile is slower than the timed
pass, the more so the more operators there are: an operator's share of its profiled call is taken of the timed call, as
if profiling slowed all work alike. By how much it slows is stated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.core.cell import StepCall
from bench.core.profiling import OpProfile, OpTime

from . import instructions
from .kinds import FUSABLE, NBITS, computes_on_integers, is_product, kind_of_op, tells_format

#: A gap below this share of the first wall time is none: there is nothing to explain.
SAME_SPEED_RATIO = 0.02
#: Kinds are named, largest first, until they cover this share of the gap.
WANTED_COVERAGE_RATIO = 0.8
COVERAGE_FORMULA = (
    "(operator time of B - operator time of A) / (wall time of B - wall time of A), "
    "operator time = its share of the profiled call x wall time"
)
#: One kind for all computing, where a side fuses operators into loops that do not tell what they were made of.
FUSED = "Compute"
_OUTSIDE = "outside of operators"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One variant as it was measured: `wall_ms` is a timed call, `profile` comes from a pass of its own."""

    variant: str
    cell_id: str
    wall_ms: float
    profile: OpProfile
    steps: tuple[StepCall, ...] = ()
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorTime:
    """All operators of one name that do one kind of work in one call of the model; `ms` is of a timed call."""

    kind: str
    operator: str
    count: float
    ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How many operators of a sort there are, and their time in one call of the model."""

    count: float
    ms: float
    ratio: float  # of all operators' time


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What one profile says, its operators' times scaled to the timed call. `overhead_ratio` is the profiled wall time
    over the timed one; `tells_formats` is False where the runtime does not say what numbers its products are of."""

    variant: str
    cell_id: str
    runtime: str
    threads: int
    steps: tuple[StepCall, ...]
    wall_ms: float
    profiled_wall_ms: float
    overhead_ratio: float
    operators_ms: float
    integer: Share
    quantize: Share
    cast: Share
    layout: Share
    reference_kernels: Share
    instruction_sets: tuple[str, ...]  # that kernels name; empty where the runtime does not tell
    operators: tuple[OperatorTime, ...]  # largest first
    notes: tuple[str, ...] = ()
    tells_formats: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class KindDelta:
    """The work of one kind on both sides; `gap_ratio` is the difference's share of the gap, None without a gap."""

    kind: str
    a_ms: float
    b_ms: float
    delta_ms: float
    gap_ratio: float | None
    a_operators: tuple[OperatorTime, ...]
    b_operators: tuple[OperatorTime, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why `b` is slower or faster than `a`.

    `kinds` are ordered by how much of the gap they make, what works against it last; the entry
    "outside of operators" is timed wall time that no operator accounts for, so that all entries together are the
    gap, and counts for no coverage; it is below zero where threads run operators side by side. `coverage_ratio` is
    what all operators differ by over the gap, `gross_coverage_ratio` only the kinds that differ the way of the gap.
    `timed_by` says where the wall times come from; `words` is the explanation in sentences.
    """

    model: str
    a: Side
    b: Side
    gap_ms: float
    ratio: float  # wall time of B over that of A
    kinds: tuple[KindDelta, ...]
    coverage_ratio: float | None
    coverage_formula: str
    cpu_flags: tuple[str, ...]
    missing_cpu_flags: tuple[str, ...]
    timed_by: str
    words: tuple[str, ...] = ()
    gross_coverage_ratio: float | None = None

    @property
    def is_gap(self) -> bool:
        """Whether there is anything to explain."""
        return self.coverage_ratio is not None


def explain(model: str, a: Subject, b: Subject, *, cpu_flags: Iterable[str], timed_by: str) -> Explanation:
    """Compare two profiles; without words, which `speed_words.speed_words` finds."""
    flags = tuple(cpu_flags)
    sides = _side(a), _side(b)
    gap_ms = b.wall_ms - a.wall_ms
    is_gap = abs(gap_ms) >= SAME_SPEED_RATIO * a.wall_ms
    kinds = _kinds(*sides, gap_ms if is_gap else None)
    towards_ms = sum(kind.delta_ms for kind in kinds if not is_outside(kind) and kind.delta_ms * gap_ms > 0)
    return Explanation(
        model=model,
        a=sides[0],
        b=sides[1],
        gap_ms=gap_ms,
        ratio=b.wall_ms / a.wall_ms,
        kinds=kinds,
        coverage_ratio=(sides[1].operators_ms - sides[0].operators_ms) / gap_ms if is_gap else None,
        gross_coverage_ratio=towards_ms / gap_ms if is_gap else None,
        coverage_formula=COVERAGE_FORMULA,
        cpu_flags=instructions.present(flags),
        missing_cpu_flags=instructions.missing(flags),
        timed_by=timed_by,
    )


def is_outside(kind: KindDelta) -> bool:
    """Whether this is no work of operators, but what is between and around them."""
    return kind.kind == _OUTSIDE


def _side(subject: Subject) -> Side:
    profile = subject.profile
    runtime = profile.runtime
    profiled_ms = profile.wall_ns_per_run / 1e6
    scale = subject.wall_ms / profiled_ms
    products = [op for op in profile.ops if is_product(runtime, op)]

    def share(belongs: Callable[[OpTime], bool]) -> Share:
        return _share(profile, belongs, scale)

    return Side(
        variant=subject.variant,
        cell_id=subject.cell_id,
        runtime=runtime,
        threads=subject.threads,
        steps=subject.steps,
        wall_ms=subject.wall_ms,
        profiled_wall_ms=profiled_ms,
        overhead_ratio=profiled_ms / subject.wall_ms,
        operators_ms=scale * profile.ops_ns_per_run / 1e6,
        integer=share(lambda op: computes_on_integers(runtime, op)),
        quantize=share(lambda op: kind_of_op(runtime, op) == "Quantize/Dequantize"),
        cast=share(lambda op: kind_of_op(runtime, op) == "Cast"),
        layout=share(lambda op: kind_of_op(runtime, op) == "Layout"),
        reference_kernels=share(lambda op: instructions.is_reference_kernel(op.kernel)),
        instruction_sets=instructions.named_in(profile),
        operators=_by_operator(profile, scale),
        notes=profile.notes,
        tells_formats=any(map(tells_format, products)) and all(tells_format(op) for op in products if op.kind == NBITS),
    )


def _share(profile: OpProfile, belongs: Callable[[OpTime], bool], scale: float) -> Share:
    chosen = [op for op in profile.ops if belongs(op)]
    ms = scale * sum(op.ns_per_run for op in chosen) / 1e6
    total_ms = scale * profile.ops_ns_per_run / 1e6
    return Share(count=sum(op.calls_per_run for op in chosen), ms=ms, ratio=ms / total_ms if total_ms else 0.0)


def _by_operator(profile: OpProfile, scale: float) -> tuple[OperatorTime, ...]:
    counts: dict[tuple[str, str], float] = defaultdict(float)
    times_ms: dict[tuple[str, str], float] = defaultdict(float)
    for op in profile.ops:
        key = kind_of_op(profile.runtime, op), op.kind
        counts[key] += op.calls_per_run
        times_ms[key] += scale * op.ns_per_run / 1e6
    times = (
        OperatorTime(kind=kind, operator=operator, count=counts[kind, operator], ms=ms)
        for (kind, operator), ms in times_ms.items()
    )
    return tuple(sorted(times, key=lambda time: (-time.ms, time.operator, time.kind)))


def _kinds(a: Side, b: Side, gap_ms: float | None) -> tuple[KindDelta, ...]:
    by_kind: dict[str, tuple[list[OperatorTime], list[OperatorTime]]] = defaultdict(lambda: ([], []))
    is_fused = any(operator.kind == "Fused loops" for side in (a, b) for operator in side.operators)
    for position, side in enumerate((a, b)):
        for operator in side.operators:
            kind = FUSED if is_fused and operator.kind in FUSABLE else operator.kind
            by_kind[kind][position].append(operator)
    deltas = [_delta(kind, own, theirs, gap_ms) for kind, (own, theirs) in by_kind.items()]
    outside = [side.wall_ms - side.operators_ms for side in (a, b)]
    deltas.append(
        KindDelta(
            kind=_OUTSIDE,
            a_ms=outside[0],
            b_ms=outside[1],
            delta_ms=outside[1] - outside[0],
            gap_ratio=(outside[1] - outside[0]) / gap_ms if gap_ms else None,
            a_operators=(),
            b_operators=(),
        )
    )
    sign = -1 if gap_ms is not None and gap_ms < 0 else 1
    return tuple(sorted(deltas, key=lambda delta: (-sign * delta.delta_ms, delta.kind)))


def _delta(kind: str, own: list[OperatorTime], theirs: list[OperatorTime], gap_ms: float | None) -> KindDelta:
    a_ms, b_ms = (sum(operator.ms for operator in side) for side in (own, theirs))
    return KindDelta(
        kind=kind,
        a_ms=a_ms,
        b_ms=b_ms,
        delta_ms=b_ms - a_ms,
        gap_ratio=(b_ms - a_ms) / gap_ms if gap_ms else None,
        a_operators=tuple(own),
        b_operators=tuple(theirs),
    )
