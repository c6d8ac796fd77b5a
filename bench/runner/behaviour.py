"""Checks of behaviour on the variants of a model, each in processes of its own: one that dies costs no other check."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from bench.core.artifact import Artifact
from bench.core.behaviour import CHECKS, CheckResult, OutputRange
from bench.core.cell import Cell
from bench.core.errors import BenchError, ExecutionUnavailable, HostError, Interrupted, MatrixError
from bench.core.job import BehaviourJob
from bench.core.results import Outcome
from bench.matrix import Matrix
from bench.matrix.locations import check_inputs
from bench.plan import make_plan
from bench.supervise import Answer, Child, ChildError, Death

from .backstage import Backstage, backstage
from .crew import outcome_of, outcome_of_error
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


def require_variants(patterns: Sequence[str], known: Iterable[str]) -> None:
    """MatrixError for a pattern that fits none of the known variants."""
    names = list(dict.fromkeys(known))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise MatrixError(f"no variant is called {pattern}", hint=f"there are {', '.join(names)}")


def require_cases(cases: Path) -> None:
    """MatrixError for a file of cases that is not there, or of a kind that cannot be read."""
    for finding in check_inputs(str(cases), Path.cwd()):
        raise MatrixError(finding.text, hint="name a .npz, .npy or .jsonl with inputs and `labels`")


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

    MatrixError when a pattern fits no variant, or when the file of cases is not one of samples of the model.
    """
    require_variants(variants, [cell.variant.name for cell in matrix.cells])
    if cases is not None:
        require_cases(cases)
        cases = cases.absolute()
    plan = make_plan(matrix.groups)
    wanted = {
        (cell.model.name, cell.variant.name): (cell, group.reference)
        for group in plan.groups
        for cell in group.cells
        if not variants or any(fnmatchcase(cell.variant.name, pattern) for pattern in variants)
    }
    models_of_cases = set[str]()
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="check") as stage:
        for (model, variant), (cell, reference) in wanted.items():
            obstacle = plan.obstacles.get(cell.id)
            made = obstacle if obstacle is not None else _prepare(stage, cell, reference)
            if isinstance(made, Outcome):
                yield VariantChecks(model=model, variant=variant, outcome=made)
                continue
            if cases is not None and model not in models_of_cases:
                _require_samples(cases, made)
                models_of_cases.add(model)
            tolerance = matrix.tolerances[model, variant].relative_error or _USUAL_TOLERANCE
            inspection = _Inspection(stage, made, tolerance, tuple(ranges), "" if cases is None else str(cases))
            results, outcome = inspection.results()
            yield VariantChecks(model=model, variant=variant, results=results, outcome=outcome)


def _prepare(stage: Backstage, cell: Cell, reference: Cell) -> Prepared | Outcome:
    """With neighbours where the model takes them; a model that fixes its batch is given batches of that size."""
    for batch in (_BATCH, 1):
        made = _of_size(stage, cell, reference, batch)
        if isinstance(made, Prepared):
            firsts = {spec.shape[0] for spec in made.artifact.inputs if spec.shape}
            fixed = firsts.pop() if len(firsts) == 1 else batch
            return _of_size(stage, cell, reference, fixed) if isinstance(fixed, int) and fixed != batch else made
    return made


def _of_size(stage: Backstage, cell: Cell, reference: Cell, batch: int) -> Prepared | Outcome:
    cell, reference = replace(cell, batch=batch), replace(reference, batch=batch)
    return stage.workshop.prepare([(cell, reference)])[cell.id]


def _require_samples(cases: Path, prepared: Prepared) -> None:
    """Said once and of the file, before a variant is blamed for it."""
    from bench.zoo.user_inputs import user_examples

    labels = user_examples(cases, prepared.artifact.inputs, dimensions=prepared.cell.dimensions).labels
    if labels is None or not len(labels):
        what = "no `labels`" if labels is None else "no samples"
        raise MatrixError(f"{cases}: holds {what}", hint="`labels` are integers, the right class of each sample")


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
        self._copy = stage.directory / "copy" / prepared.cell.id
        self._hired = 0
        self._child: Child | None = None

    def results(self) -> tuple[tuple[CheckResult, ...], Outcome | None]:
        """Every check in its order, and what kept the rest from being made: this machine, for one variant alone."""
        made: list[CheckResult] = []
        try:
            self._make_into(made)
        except Interrupted:
            raise
        except BenchError as error:
            return tuple(made), outcome_of_error(error, phase="check")
        finally:
            self._dismiss()
            self._before.unlink(missing_ok=True)
        return tuple(made), None

    def _make_into(self, made: list[CheckResult]) -> None:
        """Where the model cannot even be opened, the check that was to be made says so, and is the last."""
        for check in CHECKS:
            if self._child is None:
                self._child, problem = self._open(self._prepared.artifact)
            if self._child is None:
                made.append(_failed(check, f"cannot be opened: {problem}"))
                return
            make = self._round_trip if check == _IN_SECOND_PROCESS else self._check
            result, lives = make(self._child, check)
            made.append(result)
            if not lives:
                self._dismiss()

    def _dismiss(self) -> None:
        if self._child is not None:
            self._stage.crew.dismiss([self._child])
            self._child = None

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
        outcome = outcome_of(reply)
        if outcome.status == "skipped":  # whole, but nothing here executes it: no fault of the variant
            raise ExecutionUnavailable(outcome.reason, hint=outcome.hint)
        return None, outcome.reason

    def _check(self, child: Child, check: str) -> tuple[CheckResult, bool]:
        """The result, and whether the process can be asked for another."""
        reply = self._stage.crew.ask(child, "check", {"check": check})
        if isinstance(reply, Answer):
            return msgspec.convert(reply.body, CheckResult), True
        return _failed(check, _ending(reply)), False

    def _round_trip(self, child: Child, check: str) -> tuple[CheckResult, bool]:
        """The first process writes its answers down; the second opens a copy of the model and compares."""
        reply = self._stage.crew.ask(child, "remember")
        if not isinstance(reply, Answer):
            return _failed(check, f"there are no answers to compare with: {_ending(reply)}"), False
        try:
            second, problem = self._open(self._copied())
            if second is None:
                return _failed(check, f"a copy cannot be opened: {problem}"), True
            result, _ = self._check(second, check)
            self._stage.crew.dismiss([second])
            return result, True
        finally:
            shutil.rmtree(self._copy, ignore_errors=True)  # what is left goes with the whole directory

    def _copied(self) -> Artifact:
        """The artifact elsewhere: with all that lies beside its file, for some formats keep their tensors there."""
        artifact = self._prepared.artifact
        try:
            shutil.copytree(Path(artifact.path).parent, self._copy)
        except OSError as error:
            raise HostError(
                f"{self._copy}: a copy of the model cannot be written: {error.strerror or error}"
            ) from error
        return replace(artifact, path=str(self._copy / Path(artifact.path).name))


def _ending(reply: ChildError | Death) -> str:
    what = "the process" if isinstance(reply, Death) else "in an error"
    return f"it ended {what}: {outcome_of(reply).reason}"


def _failed(check: str, text: str) -> CheckResult:
    return CheckResult(check=check, status="failed", text=text)
