"""Checks of behaviour on the variants of a model, each in processes of its own: one that dies costs no other check."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from bench.core.artifact import Artifact
from bench.core.behaviour import CHECKS, CheckResult, OutputRange
from bench.core.cell import Cell
from bench.core.errors import MatrixError
from bench.core.job import BehaviourJob
from bench.core.results import Outcome
from bench.matrix import Matrix
from bench.plan import make_plan
from bench.supervise import Answer, Child

from .backstage import Backstage, backstage
from .crew import outcome_of
from .prepared import Prepared
from .watch import Watcher

#: Enough samples a call to see neighbours; a model that takes one at a time is checked with one.
_BATCH = 4
_USUAL_TOLERANCE = 0.05
_IN_SECOND_PROCESS = "round_trip"


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantChecks:
    """The results for one variant of a model, or why there are none."""

    model: str
    variant: str
    results: tuple[CheckResult, ...] = ()
    outcome: Outcome | None = None

    @property
    def passed(self) -> bool:
        """Whether every check that applies came through."""
        return self.outcome is None and all(result.status != "failed" for result in self.results)


def check_behaviour(
    matrix: Matrix,
    watcher: Watcher,
    *,
    variants: Sequence[str] = (),
    ranges: Sequence[OutputRange] = (),
    cases: Path | None = None,
    store_root: Path | None = None,
) -> Iterator[VariantChecks]:
    """The checks of each variant whose name fits one of the patterns (none: of all), one variant after the other.

    MatrixError when no variant fits, or when the file of cases is not there.
    """
    if cases is not None and not cases.is_file():
        raise MatrixError(f"{cases}: no such file", hint="name a .npz, .npy or .jsonl with inputs and `labels`")
    plan = make_plan(matrix.groups)
    wanted = {
        (cell.model.name, cell.variant.name): (cell, group.reference)
        for group in plan.groups
        for cell in group.cells
        if not variants or any(fnmatchcase(cell.variant.name, pattern) for pattern in variants)
    }
    if not wanted:
        known = ", ".join(dict.fromkeys(cell.variant.name for cell in matrix.cells))
        raise MatrixError(f"no variant is called {' or '.join(variants)}", hint=f"there are {known}")
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="check") as stage:
        for (model, variant), (cell, reference) in wanted.items():
            obstacle = plan.obstacles.get(cell.id)
            made = obstacle if obstacle is not None else _prepare(stage, cell, reference)
            if isinstance(made, Outcome):
                yield VariantChecks(model=model, variant=variant, outcome=made)
                continue
            tolerance = matrix.tolerances[model, variant].relative_error or _USUAL_TOLERANCE
            inspection = _Inspection(
                stage, made, tolerance, tuple(ranges), "" if cases is None else str(cases.absolute())
            )
            yield VariantChecks(model=model, variant=variant, results=tuple(inspection.results()))


def _prepare(stage: Backstage, cell: Cell, reference: Cell) -> Prepared | Outcome:
    for batch in (_BATCH, 1):
        of_size = replace(cell, batch=batch)
        made = stage.workshop.prepare([(of_size, replace(reference, batch=batch))])[of_size.id]
        if isinstance(made, Prepared):
            return made
    return made


class _Inspection:
    """One variant under check: a process that makes checks until it dies, and is then replaced."""

    def __init__(
        self, stage: Backstage, prepared: Prepared, tolerance: float, ranges: tuple[OutputRange, ...], cases_path: str
    ) -> None:
        self._stage = stage
        self._prepared = prepared
        self._tolerance = tolerance
        self._ranges = ranges
        self._cases_path = cases_path
        self._before = stage.directory / "outputs" / f"{prepared.cell.id}.npz"
        self._hired = 0

    def results(self) -> Iterator[CheckResult]:
        """Every check in its order; where the model cannot even be opened, the first one says so."""
        child: Child | None = None
        for check in CHECKS:
            if check == _IN_SECOND_PROCESS:
                yield self._round_trip(child)
                continue
            if child is None:
                child, problem = self._open(self._prepared.artifact)
                if child is None:
                    yield _failed(check, f"cannot be opened: {problem}")
                    return
            result, lives = self._check(child, check)
            yield result
            if not lives:
                self._stage.crew.dismiss([child])
                child = None
        if child is not None:
            self._stage.crew.dismiss([child])

    def _open(self, artifact: Artifact) -> tuple[Child | None, str]:
        cell = self._prepared.cell
        job = BehaviourJob(
            cell=cell,
            artifact=artifact,
            pool_path=self._prepared.pool.path,
            before_path=str(self._before),
            tolerance=self._tolerance,
            ranges=self._ranges,
            cases_path=self._cases_path,
        )
        self._hired += 1
        child = self._stage.crew.hire(job, f"{cell.id}.check{self._hired}", cell.limits)
        reply = self._stage.crew.ask(child, "open")
        if isinstance(reply, Answer):
            return child, ""
        self._stage.crew.dismiss([child])
        return None, outcome_of(reply).reason

    def _check(self, child: Child, check: str) -> tuple[CheckResult, bool]:
        reply = self._stage.crew.ask(child, "check", {"check": check})
        if isinstance(reply, Answer):
            return msgspec.convert(reply.body, CheckResult), True
        return CheckResult(
            check=check, status="failed", text=f"it ended the process: {outcome_of(reply).reason}"
        ), False

    def _round_trip(self, child: Child | None) -> CheckResult:
        """The first process writes its answers down; the second opens a copy of the model and compares."""
        if child is None or not isinstance(self._stage.crew.ask(child, "remember"), Answer):
            return CheckResult(
                check=_IN_SECOND_PROCESS, status="failed", text="the process that was to answer first is gone"
            )
        second, problem = self._open(self._copied())
        if second is None:
            return _failed(_IN_SECOND_PROCESS, f"a copy cannot be opened: {problem}")
        result, _ = self._check(second, _IN_SECOND_PROCESS)
        self._stage.crew.dismiss([second])
        return result

    def _copied(self) -> Artifact:
        """The artifact elsewhere: with all that lies beside its file, for some formats keep their tensors there."""
        artifact = self._prepared.artifact
        source, target = Path(artifact.path).parent, self._stage.directory / "copy" / self._prepared.cell.id
        shutil.copytree(source, target)
        return replace(artifact, path=str(target / Path(artifact.path).name))


def _failed(check: str, text: str) -> CheckResult:
    return CheckResult(check=check, status="failed", text=text)
