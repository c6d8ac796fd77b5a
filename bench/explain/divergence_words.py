"""What was found of a variant's numbers, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.core.cell import Tolerance

from .divergence import CONSTANT, Divergence, TensorError


def tolerance_words(tolerance: Tolerance) -> str:
    """The limits that a tensor is held to."""
    limits = (
        ("relative error at most", tolerance.relative_error),
        ("cosine at least", tolerance.cosine),
        ("top-1 agreement at least", tolerance.top1_agreement_ratio),
    )
    return ", ".join(f"{what} {limit:g}" for what, limit in limits if limit is not None) or "no limit on values"


def divergence_words(found: Divergence) -> tuple[str, ...]:
    """The outputs first, then where it begins, then what can not be said."""
    return (*_outputs(found), *_inside(found))


def error_words(error: TensorError) -> str:
    """An error as a number a reader can compare."""
    if error.relative_error is None:
        return error.problem or "no number"
    cosine = "" if error.cosine is None else f", cosine {error.cosine:.5f}"
    return f"relative error {error.relative_error:.3g}{cosine}"


def _outputs(found: Divergence) -> Iterator[str]:
    for output in found.outputs:
        verdict = f"leaves the tolerance ({output.problem})" if output.problem else "is within the tolerance"
        numbers = f": {error_words(output)}" if output.relative_error is not None else ""
        yield f"output {output.tensor!r} of {found.variant} {verdict} of {found.reference}{numbers}"


def _inside(found: Divergence) -> Iterator[str]:
    if not found.against:
        yield (
            f"{found.variant} and {found.reference} have no common tensor inside: tensors can be compared between two "
            "ONNX files and between two frozen graphs, here only the outputs were"
        )
        return
    yield f"{found.compared} of {found.tensors} tensors of {found.variant} have a partner in {found.against}"
    outputs_fail = any(output.problem for output in found.outputs)
    if found.first is not None:
        yield (
            f"the first tensor outside the tolerance is {found.first.tensor!r}, made by {_maker(found.first)}: "
            f"{found.first.problem}{_given(found.first, found.first_inputs)}"
        )
    elif outputs_fail:
        yield (
            f"yet no tensor inside leaves the tolerance of {found.against}: the fault lies in what cannot be compared "
            "by name, in kernels that fuse only while no tensor is handed out, or in how the two are opened"
        )
    if found.jump is not None and found.jump != found.first:
        yield (
            f"the largest jump is at {found.jump.tensor!r}, made by {_maker(found.jump)}: "
            f"{error_words(found.jump)}{_given(found.jump, found.jump_inputs)}"
        )
    if found.detours and outputs_fail:
        yield (
            f"{found.detours} further tensors are outside the tolerance, but what follows them agrees again: the same "
            "name may stand for something else there (a folded normalization, another layout)"
        )
    elif found.detours:
        yield f"{found.detours} tensors inside are outside the tolerance, and the outputs agree all the same"


def _maker(error: TensorError) -> str:
    return "no node, for it is a weight" if error.operator == CONSTANT else f"{error.operator} {error.node!r}"


def _given(error: TensorError, inputs: Sequence[TensorError]) -> str:
    """The errors of what a node was given: large ones are not of its making."""
    if error.operator == CONSTANT:
        return ""
    if not inputs:
        return "; none of its inputs could be compared"
    told = ", ".join(f"{error.tensor!r} {error.relative_error or 0:.2g}" for error in inputs[:4])
    return f"; relative errors of its inputs: {told}"
