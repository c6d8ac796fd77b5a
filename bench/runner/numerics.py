"""Where a variant leaves its reference: both built, then compared tensor by tensor in a child."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.core import plugins
from bench.core.cell import Cell
from bench.core.errors import BenchError, TargetError
from bench.core.job import NumericsJob
from bench.core.results import Outcome
from bench.explain.divergence import Divergence
from bench.matrix import Matrix
from bench.plan import make_plan
from bench.supervise import Answer

from .backstage import Backstage, backstage
from .crew import outcome_of
from .prepared import Prepared
from .watch import Watcher

#: Formats whose tensors can be handed out by name.
_OPEN_FORMATS = ("onnx", "frozen_graph")


def find_divergence(
    matrix: Matrix, cell: Cell, reference: Cell, watcher: Watcher, *, store_root: Path | None = None
) -> Divergence:
    """Compare `cell` with `reference`, two cells of one group of `matrix`; TargetError when either cannot be run.

    Where the two are of different formats, the tensors inside are compared with those of the variant's own chain at
    the first artifact of its final format: what later steps did to it is what is looked for.
    """
    chain = _formats_along(cell)
    stand_in = _stand_in(cell, reference, chain)
    cells = list(dict.fromkeys(each for each in (reference, cell, stand_in) if each is not None))
    obstacles = make_plan(matrix.groups).obstacles
    for each in cells:
        if each.id in obstacles:
            raise as_error(each, obstacles[each.id])
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="explain") as stage:
        made = stage.workshop.prepare([(each, reference) for each in cells])
        prepared = {each.id: require(each, made[each.id]) for each in cells}
        against = prepared[stand_in.id].artifact if stand_in is not None else None
        tolerance = matrix.tolerances[cell.model.name, cell.variant.name]
        watcher.note(f"comparing {cell.variant.name} with {reference.variant.name}")
        job = NumericsJob(
            cell=cell,
            artifact=prepared[cell.id].artifact,
            reference=reference,
            reference_artifact=prepared[reference.id].artifact,
            against=stand_in.variant.name if stand_in is not None else "",
            against_artifact=against,
            pool_path=prepared[cell.id].pool.path,
            tolerance=tolerance,
        )
        return _ask(stage, job)


def _ask(stage: Backstage, job: NumericsJob) -> Divergence:
    child = stage.crew.hire(job, f"numerics.{job.cell.id}", job.cell.limits)
    try:
        reply = stage.crew.ask(child, "next")
        while isinstance(reply, Answer) and "found" not in reply.body:  # each part may take as long as a phase may
            reply = stage.crew.ask(child, "next")
    finally:
        stage.crew.dismiss([child])
    if not isinstance(reply, Answer):
        raise as_error(job.cell, outcome_of(reply))
    return msgspec.convert(reply.body["found"], Divergence)


def require(cell: Cell, made: Prepared | Outcome) -> Prepared:
    """What was made for a cell; TargetError says why nothing was."""
    if isinstance(made, Outcome):
        raise as_error(cell, made)
    return made


def as_error(cell: Cell, outcome: Outcome) -> BenchError:
    """Why a cell cannot be looked into, as the error that the command line shows."""
    return TargetError(
        f"{cell.model.name}.{cell.variant.name}: {outcome.status}: {outcome.reason}", hint=outcome.hint or None
    )


def _stand_in(cell: Cell, reference: Cell, chain: list[str]) -> Cell | None:
    """What the tensors inside are compared with: the reference, or else an earlier link of the variant's own chain."""
    final = chain[-1]
    if final not in _OPEN_FORMATS:
        return None
    if _formats_along(reference)[-1] == final:
        return reference
    length = chain.index(final)
    if length == len(cell.variant.steps):
        return None
    name = " > ".join((cell.variant.source, *(step.name for step in cell.variant.steps[:length])))
    return replace(cell, variant=replace(cell.variant, name=name, steps=cell.variant.steps[:length]))


def _formats_along(cell: Cell) -> list[str]:
    """The source format, and the format after each step."""

    def formats() -> Iterator[str]:
        current = cell.variant.source
        yield current
        for step in cell.variant.steps:
            current = plugins.lookup("steps", step.name).produces or current
            yield current

    return list(formats())
