"""An explanation of speed in sentences: each rule looks at one thing and says nothing where there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.core.units import format_ms, format_percent

from .instructions import BF16_FLAGS, FP16_FLAGS, INT8_FLAGS
from .kinds import NBITS
from .speed import FUSED, WANTED_COVERAGE_RATIO, Explanation, KindDelta, OperatorTime, Share, Side, is_outside

_WORTH_SAYING_RATIO = 0.02  # of a wall time
_MOST_COVERAGE_RATIO = 1.25  # beyond it more than the gap is found, which explains it no better than too little
_SIDE_BY_SIDE_RATIO = 1.02
_DISTURBED_RATIO = 0.9  # a profiled call is slower than a timed one, unless something else slowed the timed one
_OPERATORS_NAMED = 3


def speed_words(found: Explanation) -> tuple[str, ...]:
    """What every rule has to say, the most important first."""
    return tuple(sentence for rule in _RULES for sentence in rule(found))


def _headline(found: Explanation) -> Iterator[str]:
    a, b = found.a, found.b
    walls = f"{format_ms(b.wall_ms)} against {format_ms(a.wall_ms)} a call ({found.timed_by})"
    if not found.is_gap:
        yield f"{b.variant} and {a.variant} are equally fast: {walls}"
        return
    factor, word = (found.ratio, "slower") if found.ratio > 1 else (1 / found.ratio, "faster")
    yield f"{b.variant} is {factor:.3g}x {word} than {a.variant}: {walls}"


def _largest_kinds(found: Explanation) -> Iterator[str]:
    """The kinds of work that make the gap, until enough of it is covered."""
    covered = 0.0
    for kind in found.kinds:
        if kind.gap_ratio is None or kind.gap_ratio < _WORTH_SAYING_RATIO or covered >= WANTED_COVERAGE_RATIO:
            return
        if is_outside(kind):
            yield (
                f"{format_ms(abs(kind.delta_ms))} of the gap ({format_percent(kind.gap_ratio)}) are in no operator: "
                "what the runtime and its caller do around them"
            )
            continue
        covered += kind.gap_ratio
        yield (
            f"{kind.kind}: {_operators(kind.b_operators, kind.b_ms)} in {found.b.variant}, "
            f"{_operators(kind.a_operators, kind.a_ms)} in {found.a.variant}: "
            f"{format_percent(kind.gap_ratio)} of the gap"
        )


def _against(found: Explanation) -> Iterator[str]:
    """Work that runs against the gap: what the slower side saves, or the faster one pays."""
    opposed = [kind for kind in found.kinds if kind.gap_ratio is not None and kind.gap_ratio < -_WORTH_SAYING_RATIO]
    if opposed:
        told = ", ".join(f"{kind.kind} {_signed(kind.delta_ms)}" for kind in sorted(opposed, key=_opposition))
        yield f"against that stands: {told}"


def _coverage(found: Explanation) -> Iterator[str]:
    if found.coverage_ratio is None:
        return
    covered = format_percent(found.coverage_ratio)
    gross = found.gross_coverage_ratio or 0.0
    alone = f" (those that point its way alone {format_percent(gross)})"
    netted = alone if gross > max(0.0, found.coverage_ratio) + _WORTH_SAYING_RATIO else ""
    if found.coverage_ratio < 0:
        yield f"operators together differ the other way ({covered} of the gap{netted}): it lies outside of them"
    elif found.coverage_ratio < WANTED_COVERAGE_RATIO:
        yield f"differences between operators cover {covered} of the gap{netted}: the rest is in none of them"
    elif found.coverage_ratio > _MOST_COVERAGE_RATIO:
        side_by_side = any(_runs_side_by_side(side) for side in (found.a, found.b))
        why = "threads run them side by side" if side_by_side else "less time outside of them runs against it"
        yield f"differences between operators come to {covered} of the gap{netted}: more than it, as {why}"
    else:
        yield f"differences between operators cover {covered} of the gap{netted}"
    yield from _cost_of_profiling(found, found.coverage_ratio)


def _cost_of_profiling(found: Explanation, coverage_ratio: float) -> Iterator[str]:
    """What would have been found without scaling, where that is another answer."""
    a_ms, b_ms = (side.operators_ms * side.overhead_ratio for side in (found.a, found.b))
    as_profiled = (b_ms - a_ms) / found.gap_ms
    if _explains(coverage_ratio) and not _explains(as_profiled):
        costly = max((found.a, found.b), key=lambda side: abs(side.overhead_ratio - 1))
        yield (
            f"as profiled, they would come to {format_percent(as_profiled)}: that is what profiling costs, most of all "
            f"in {costly.variant} ({costly.overhead_ratio:.2f}x)"
        )


def _explains(coverage_ratio: float) -> bool:
    return WANTED_COVERAGE_RATIO <= coverage_ratio <= _MOST_COVERAGE_RATIO


def _runs_side_by_side(side: Side) -> bool:
    return side.threads > 1 and side.operators_ms > _SIDE_BY_SIDE_RATIO * side.wall_ms


def _fused(found: Explanation) -> Iterator[str]:
    """Why there is one kind only for all computing, where that is so."""
    if any(kind.kind == FUSED for kind in found.kinds):
        sides = [side.variant for side in (found.a, found.b) if any(op.kind == "Fused loops" for op in side.operators)]
        yield (
            f"{' and '.join(sides)} {'fuse' if len(sides) > 1 else 'fuses'} operators into loops that do not tell what "
            f"they were made of: all computing is one kind here ({FUSED})"
        )


def _integer_share(found: Explanation) -> Iterator[str]:
    """How much of the work is done on integers, where any is."""
    for side in (found.a, found.b):
        if side.integer.count:
            share = format_percent(side.integer.ratio)
            yield f"{share} of {side.variant}'s operator time is arithmetic on 8-bit integers"
        elif not (side.quantize.count or any(operator.operator == NBITS for operator in side.operators)):
            continue
        elif not side.tells_formats:
            yield f"{side.runtime} does not say whether products of {side.variant} are computed on 8-bit integers"
        else:
            yield (
                f"{side.variant} computes nothing on 8-bit integers: its weights are only stored so, and are turned "
                "into floats before they are used"
            )


def _inserted(found: Explanation) -> Iterator[str]:
    """Work that is no part of the model: between number formats and memory layouts."""
    for what, share_of in _INSERTED:
        own, other = share_of(found.b), share_of(found.a)
        for side, share, rest in ((found.b, own, other), (found.a, other, own)):
            more_ms = share.ms - rest.ms
            if share.count > rest.count and more_ms >= _WORTH_SAYING_RATIO * min(found.a.wall_ms, found.b.wall_ms):
                others = (
                    f"{_count(rest.count)} of the other take {format_ms(rest.ms)}"
                    if rest.count
                    else "the other has none"
                )
                yield (
                    f"{_count(share.count)} {what} of {side.variant} take {format_ms(share.ms)} "
                    f"({format_percent(share.ratio)} of its operator time); {others}"
                )


_INSERTED: tuple[tuple[str, Callable[[Side], Share]], ...] = (
    ("quantizing and dequantizing operators", lambda side: side.quantize),
    ("casts", lambda side: side.cast),
    ("layout operators (transposes, reorders, copies)", lambda side: side.layout),
)


def _signed_convolution(found: Explanation) -> Iterator[str]:
    """ONNX Runtime hands ConvInteger's weights to its matrix product as the left side, and has vector code for a signed
    left side and an unsigned right one only where the CPU has AVX-VNNI-INT8 (mlas/lib/platform.cpp)."""
    for side in (found.b, found.a):
        integer = next((time for time in side.operators if time.operator == "ConvInteger"), None)
        if side.runtime != "onnxruntime" or integer is None or integer.ms < 0.2 * side.operators_ms:
            continue
        weight_type = _option(side, "quantize_dynamic", "weight_type")
        if weight_type == "QInt8":
            unused = [flag for flag in INT8_FLAGS if flag in found.cpu_flags]
            idle = f" ({', '.join(unused)} present, unused)" if unused else ""
            yield (
                f"ConvInteger takes {format_ms(integer.ms)} of {side.variant}'s {format_ms(side.wall_ms)}: ONNX "
                f"Runtime has no fast kernel for signed weights (QInt8) in it on this CPU{idle}; quantize with "
                "weight_type QUInt8, statically (QDQ), or only MatMul and Gemm"
            )
        elif found.ratio > 1 and side is found.b and not weight_type:
            yield (
                f"ConvInteger takes {format_ms(integer.ms)} of {side.variant}'s {format_ms(side.wall_ms)}: it is slow "
                "where weights are signed (QInt8)"
            )


def _reference_kernels(found: Explanation) -> Iterator[str]:
    for side in (found.a, found.b):
        if side.reference_kernels.ratio >= _WORTH_SAYING_RATIO:
            yield (
                f"{_count(side.reference_kernels.count)} operators of {side.variant} run on plain reference kernels "
                f"and take {format_ms(side.reference_kernels.ms)}"
            )


def _instructions(found: Explanation) -> Iterator[str]:
    """What kernels say of the instructions they use, and what the CPU has for this number format."""
    for side in (found.a, found.b):
        if side.instruction_sets:
            yield f"kernels of {side.variant} name {', '.join(side.instruction_sets)}"
    silent = list(dict.fromkeys(side.runtime for side in (found.a, found.b) if not side.instruction_sets))
    if silent:
        do, whose = ("do", "their") if len(silent) > 1 else ("does", "its")
        yield f"{' and '.join(silent)} {do} not say which instructions {whose} kernels use"
    if found.a.integer.count or found.b.integer.count:
        yield _have(found, "8-bit integer products", INT8_FLAGS, "8-bit integers save memory here, hardly time")
    for what, flags, names in (("bfloat16", BF16_FLAGS, ("bf16",)), ("float16", FP16_FLAGS, ("float16", "fp16"))):
        if any(name in found.b.variant.lower() or _has_step(found.b, name) for name in names):
            yield _have(found, f"{what} arithmetic", flags, f"{what} is computed as float32, with casts")


def _have(found: Explanation, what: str, flags: tuple[str, ...], without: str) -> str:
    present = [flag for flag in flags if flag in found.cpu_flags]
    lacking = [flag for flag in flags if flag not in found.cpu_flags]
    if not present:
        return f"this CPU has no instructions for {what} ({', '.join(flags)}): {without}"
    rest = f"; it lacks {', '.join(lacking)}" if lacking else ""
    return f"for {what} this CPU has {', '.join(present)}{rest}"


def _overhead(found: Explanation) -> Iterator[str]:
    told = ", ".join(f"{side.overhead_ratio:.2f}x in {side.variant}" for side in (found.a, found.b))
    yield (
        f"operator times come from profiled calls, which took {told} of the timed ones, and are scaled to the timed "
        "ones as if profiling slowed all work alike"
    )
    for side in (found.a, found.b):
        if side.overhead_ratio < _DISTURBED_RATIO:
            yield (
                f"{side.variant} was faster while it was profiled than while it was timed: something else disturbed "
                "the timed calls; ask again on a quiet machine"
            )
        if _runs_side_by_side(side):
            yield f"operators of {side.variant} ran side by side on {side.threads} threads: their times add up to more"


def _operators(operators: tuple[OperatorTime, ...], total_ms: float) -> str:
    if not operators:
        return "none"
    named = ", ".join(_named(operator, len(operators) > 1) for operator in operators[:_OPERATORS_NAMED])
    rest = len(operators) - _OPERATORS_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"{format_ms(total_ms)} ({named}{more})"


def _named(operator: OperatorTime, with_time: bool) -> str:  # noqa: FBT001  private, called with one expression
    time = f" {format_ms(operator.ms)}" if with_time else ""
    return f"{_count(operator.count)} {operator.operator}{time}"


def _count(count: float) -> str:
    return f"{count:.3g}"


def _signed(delta_ms: float) -> str:
    return f"{'+' if delta_ms >= 0 else '-'}{format_ms(abs(delta_ms))}"


def _opposition(kind: KindDelta) -> float:
    return kind.gap_ratio or 0.0


def _option(side: Side, step: str, option: str) -> str:
    """The value of an option of a step that made this variant; empty where that is not told."""
    return next((str(dict(call.options).get(option, "")) for call in side.steps if call.name == step), "")


def _has_step(side: Side, word: str) -> bool:
    return any(word in call.name for call in side.steps)


_RULES: tuple[Callable[[Explanation], Iterator[str]], ...] = (
    _headline,
    _signed_convolution,
    _largest_kinds,
    _against,
    _coverage,
    _fused,
    _integer_share,
    _inserted,
    _reference_kernels,
    _instructions,
    _overhead,
)
