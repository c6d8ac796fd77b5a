"""The child that looks for the first tensor where a variant leaves its reference."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.adapters.boundary import as_target_error
from bench.core import plugins
from bench.core.artifact import Artifact
from bench.core.cell import Cell, Tolerance
from bench.core.job import NumericsJob
from bench.core.results import OutputFidelity
from bench.explain.divergence import Divergence, TensorError, locate, producer_of
from bench.explain.divergence_words import divergence_words, tolerance_words
from bench.explain.graph import Graph, Pair, match
from bench.explain.onnx_tensors import OnnxTensors
from bench.explain.tensorflow_tensors import TensorFlowTensors
from bench.measure.fidelity import compare_outputs

from .protocol import Answer, Say

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

    Values = Mapping[str, Sequence[Array]]

Tensors = OnnxTensors | TensorFlowTensors

#: Tensors handed out at once: their values lie in memory together, and in ONNX files they cannot be fused away.
_AT_ONCE = 32
_BATCHES = 4  # one bad input can hide a fault, or look like one
_NUMBERS = "biuf"
#: Masks add minus infinity, or the lowest number there is, on purpose: beyond this a value only says "not here".
_AS_GOOD_AS_INFINITE = 1e30


class NumericsPerformer:
    """Answers the single verb `next` with a part of the work done, the last time with `found`: a Divergence."""

    def __init__(self, job: NumericsJob) -> None:
        self._job = job
        self._parts: Iterator[Divergence | None] | None = None

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Compare the outputs of the two as they are, then the tensors inside, some at a time."""
        if verb != "next":
            raise ValueError(f"a numerics job does not know the verb {verb!r}")
        if self._parts is None:
            self._parts = _divergence(self._job, say)
        with as_target_error(f"numerics of {self._job.cell.id}"):
            found = next(self._parts)
        return {} if found is None else {"found": msgspec.to_builtins(found)}


def _divergence(job: NumericsJob, say: Say) -> Iterator[Divergence | None]:
    """What was found, after a None for each part of the work that came before."""
    from bench.zoo.inputs import read_pool

    batches = read_pool(Path(job.pool_path))[:_BATCHES]
    say("outputs of the reference")
    expected = _outputs(job.reference, job.reference_artifact, batches)
    yield None
    say("outputs")
    actual = _outputs(job.cell, job.artifact, batches)
    outputs = tuple(_output_error(name, expected, actual, job.tolerance) for name in expected)
    found = Divergence(
        reference=job.reference.variant.name,
        variant=job.cell.variant.name,
        against=job.against if job.against_artifact is not None else "",
        tolerance=tolerance_words(job.tolerance),
        batches=len(batches),
        outputs=outputs,
    )
    if job.against_artifact is not None:
        found = yield from _inside(job, job.against_artifact, batches, found, say)
    yield replace(found, words=divergence_words(found))


def _inside(
    job: NumericsJob, against: Artifact, batches: Sequence[Batch], found: Divergence, say: Say
) -> Generator[None, None, Divergence]:
    yield
    say("tensors")
    theirs, own = _open(job, against), _open(job, job.artifact)
    pairs = match(theirs.graph, own.graph)
    errors: list[TensorError] = []
    for start in range(0, len(pairs), _AT_ONCE):
        yield
        say("tensors")
        errors += _errors(pairs[start : start + _AT_ONCE], theirs, own, batches, job.tolerance)
    location = locate(own.graph, errors, own.outputs)
    return replace(
        found,
        compared=len(errors),
        tensors=sum(1 for _ in own.graph.tensors()),
        first=location.first,
        first_inputs=location.first_inputs,
        jump=location.jump,
        jump_inputs=location.jump_inputs,
        worst=location.worst,
        detours=location.detours,
    )


def _open(job: NumericsJob, artifact: Artifact) -> Tensors:
    threads = job.cell.limits.threads
    if artifact.format == "frozen_graph":
        return TensorFlowTensors(artifact, threads=threads)
    level = dict(job.cell.variant.adapter_options).get("graph_optimization", "all")
    return OnnxTensors(artifact, threads=threads, level=str(level))


def _outputs(cell: Cell, artifact: Artifact, batches: Sequence[Batch]) -> dict[str, list[Array]]:
    """What the cell's own adapter answers, by canonical name."""
    adapter = plugins.load("adapters", cell.variant.adapter)
    options = adapter.Options(**dict(cell.variant.adapter_options))
    session = adapter.open(artifact, threads=cell.limits.threads, options=options)
    try:
        answers = [session.run(batch) for batch in batches]
    finally:
        session.close()
    return {name: [answer[name] for answer in answers] for name in answers[0]}


def _output_error(name: str, expected: Values, actual: Values, tolerance: Tolerance) -> TensorError:
    own = {name: actual[name]} if name in actual else {}
    fidelity = compare_outputs({name: expected[name]}, own, None, tolerance)
    found = fidelity.outputs[0] if fidelity.outputs else None
    return _tensor_error(name, name, name, "output", found, fidelity.problem)


def _errors(
    pairs: Sequence[Pair], theirs: Tensors, own: Tensors, batches: Sequence[Batch], tolerance: Tolerance
) -> Iterator[TensorError]:
    """The error of each pair that holds numbers of one shape, in the order of the pairs."""
    expected = theirs.fetch([pair.reference for pair in pairs], batches)
    actual = own.fetch([pair.variant for pair in pairs], batches)
    for pair in pairs:
        error = _error(pair, expected, actual, own.graph, tolerance)
        if error is not None:
            yield error


def _error(pair: Pair, expected: Values, actual: Values, graph: Graph, tolerance: Tolerance) -> TensorError | None:
    """How far the two are apart; None where they are not the same kind of thing, or nothing can be said."""
    both = [*zip(expected.get(pair.reference, ()), actual.get(pair.variant, ()), strict=False)]
    if not both or not all(_comparable(left, right) for left, right in both):
        return None
    left, right = zip(*(_without_shared_infinities(*arrays) for arrays in both), strict=True)
    fidelity = compare_outputs({pair.variant: left}, {pair.variant: right}, None, tolerance)
    if not fidelity.outputs:
        return None
    found = fidelity.outputs[0]
    if fidelity.problem and not found.not_finite and not _can_be_judged(found, tolerance):
        return None
    node = producer_of(graph, pair.variant)
    return _tensor_error(pair.variant, pair.reference, node.name, node.operator, found, fidelity.problem)


def _comparable(left: Any, right: Any) -> bool:
    arrays = isinstance(left, np.ndarray | np.generic) and isinstance(right, np.ndarray | np.generic)
    if not arrays or left.shape != right.shape or left.size == 0:
        return False
    kinds = {left.dtype.kind, right.dtype.kind}
    return kinds == {"f"} or (len(kinds) == 1 and left.dtype.kind in _NUMBERS and left.dtype == right.dtype)


def _without_shared_infinities(left: Array, right: Array) -> tuple[Array, Array]:
    """Both with zero where both are infinite in the same direction, or both no number."""
    if left.dtype.kind != "f":
        return left, right
    wide, other = left.astype(np.float64), right.astype(np.float64)
    infinite = (np.abs(wide) > _AS_GOOD_AS_INFINITE) & (np.abs(other) > _AS_GOOD_AS_INFINITE)
    same = (infinite & (np.sign(wide) == np.sign(other))) | (np.isnan(wide) & np.isnan(other))
    return np.where(same, 0.0, wide), np.where(same, 0.0, other)


def _can_be_judged(found: OutputFidelity, tolerance: Tolerance) -> bool:
    names = ("relative_error", "cosine", "top1_agreement_ratio")
    return any(getattr(tolerance, name) is not None and getattr(found, name) is not None for name in names)


def _tensor_error(
    tensor: str, reference: str, node: str, operator: str, found: OutputFidelity | None, problem: str
) -> TensorError:
    return TensorError(
        tensor=tensor,
        reference_tensor=reference,
        node=node,
        operator=operator,
        relative_error=found.relative_error if found else None,
        cosine=found.cosine if found else None,
        max_abs_error=found.max_abs_error if found else None,
        problem=problem.removeprefix(f"output {tensor!r}: "),
    )
