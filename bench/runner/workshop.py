"""Makes what the cells need before anything is timed: artifacts, each step once and in a child, and pools of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.artifacts import Site, Store, step_key
from bench.core import plugins
from bench.core.artifact import Artifact, LineageStep
from bench.core.canonical import digest
from bench.core.cell import Cell, ModelRef
from bench.core.contracts import StepResult
from bench.core.errors import BenchError, Interrupted, StepFailed
from bench.core.job import ExamplesJob, InputsJob, Job, MembersJob, SourceJob, StepJob
from bench.core.results import Outcome
from bench.core.trust import CODE_FORMATS
from bench.formats.detect import split_callable
from bench.formats.openvino_ir import weights_file
from bench.supervise import Answer, Child, Ticket

from .crew import Crew, Question, Reply, outcome_of, outcome_of_error
from .foreign_files import hint_for, parser_limits
from .prepared import Pool, Prepared
from .provenance import versions_of
from .watch import Watcher
from .wishes import Chain, ExamplesWish, PoolWish, Wish, chain_of, pool_wish, wishes

_MADE_UP = "learned from made-up samples, not from real ones: name a file under `examples:` of the model"
_EXAMPLES_SEED_OFFSET = 1_000_003  # made-up examples are never the inputs that variants are judged on


@dataclass(frozen=True, kw_only=True, slots=True)
class _Examples:
    path: str
    sha256: str
    has_labels: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    wish: Wish
    child: Child
    key: str  # of the artifact that a chain makes; samples have none
    site: Site | None  # where it is being built; samples have none
    stack: ExitStack  # what must be given back when the child is done


class _Unmade(Exception):
    """Carries the outcome of what should have come before."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Workshop:
    """Makes wishes in the order of what they need, a few children side by side; failures become outcomes."""

    def __init__(
        self, crew: Crew, store: Store, run_dir: Path, watcher: Watcher, *, input_pool: int, seed: int
    ) -> None:
        self._crew = crew
        self._store = store
        self._run_dir = run_dir
        self._watcher = watcher
        self._input_pool = input_pool
        self._seed = seed
        self._artifacts: dict[Chain, Artifact | Outcome] = {}
        self._pools: dict[PoolWish, Pool | Outcome] = {}
        self._examples: dict[ExamplesWish, _Examples | Outcome] = {}
        self._running: dict[Ticket, _Running] = {}
        self._stored_models: dict[ModelRef, ModelRef] = {}

    def prepare(self, cells: Sequence[tuple[Cell, Cell]]) -> dict[str, Prepared | Outcome]:
        """Cell id -> what is measured, or why it cannot be, for pairs of (cell, reference of its group)."""
        todo = list(dict.fromkeys(wish for cell, reference in cells for wish in wishes(cell, reference)))
        total = len(todo)
        try:
            while todo or self._running:
                todo = self._begin_ready(todo)
                self._crew.heed_signals()  # one that came while a lock was waited for ended the wait, not yet the run
                self._watcher.building(self._what_runs(), total - len(todo) - len(self._running), total)
                if self._running:
                    for ticket, reply in self._crew.await_some(self._running).items():
                        self._end(self._running.pop(ticket), reply)
        finally:
            self._crew.dismiss(running.child for running in self._running.values())
            for running in self._running.values():
                running.stack.close()
            self._running.clear()
        return {cell.id: self._prepared(cell, reference) for cell, reference in cells}

    def _begin_ready(self, todo: Sequence[Wish]) -> list[Wish]:
        """Begin what has all it needs while there is room; what is in the store, or cannot be, is settled at once."""
        left: list[Wish] = []
        for wish in todo:
            if not all(self._is_settled(need) for need in wish.needs) or len(self._running) >= self._crew.width:
                left.append(wish)
                continue
            try:
                key = self._key(wish) if isinstance(wish, Chain) else ""
                if key and any(key == running.key for running in self._running.values()):
                    left.append(wish)  # two names for one thing: found in the store once the other is done
                else:
                    self._begin(wish, key)
            except _Unmade as unmade:
                self._settle(wish, unmade.outcome)
            except Interrupted:
                raise
            except BenchError as error:
                self._settle(wish, outcome_of_error(error, phase="build"))
        return left

    def _begin(self, wish: Wish, key: str) -> None:
        with ExitStack() as stack:
            if isinstance(wish, Chain):
                site = stack.enter_context(self._store.site(key, give_up=self._crew.is_interrupted))
                for note in site.notes:
                    self._watcher.note(note)
                if site.found is not None:
                    self._settle(wish, site.found)
                    return
                job = self._chain_job(wish, site)
            else:
                site = None
                job = self._pool_job(wish) if isinstance(wish, PoolWish) else self._examples_job(wish)
            limits = parser_limits(self._crew.width) if _opens_a_users_file(job) else None
            child = self._crew.hire(job, f"build.{digest(repr(wish), length=12)}", limits)
            ticket = self._crew.post(Question(child=child, verb="make"))
            self._running[ticket] = _Running(wish=wish, child=child, key=key, site=site, stack=stack.pop_all())

    def _end(self, running: _Running, reply: Reply) -> None:
        self._crew.dismiss([running.child])
        with running.stack:
            if not isinstance(reply, Answer):
                self._settle(running.wish, self._of_its_file(running.wish, outcome_of(reply)))
                return
            try:
                self._settle(running.wish, self._keep(running, dict(reply.body)))
            except BenchError as error:
                self._settle(running.wish, outcome_of_error(error, phase="build"))

    def _keep(self, running: _Running, body: dict[str, object]) -> Artifact | Pool | _Examples:
        duration_s = float(str(body.pop("duration_s")))
        if isinstance(running.wish, PoolWish):
            path, labelled = self._pool_paths(running.wish)
            return Pool(
                path=str(path),
                sha256=str(body["sha256"]),
                labelled_path=str(labelled) if body["labels"] else "",
                metric=str(body["metric"]),
            )
        if isinstance(running.wish, ExamplesWish):
            path = self._examples_path(running.wish)
            return _Examples(path=str(path), sha256=str(body["sha256"]), has_labels=bool(body["has_labels"]))
        assert running.site is not None  # noqa: S101  a chain is built on a site
        result = msgspec.convert(body, StepResult, dec_hook=_path)
        if running.wish.examples is not None and _are_made_up(running.wish.model):
            result = replace(result, notes=(*result.notes, _MADE_UP))
        return running.site.keep(result, lineage=self._lineage(running.wish, duration_s))

    def _settle(self, wish: Wish, made: Artifact | Pool | _Examples | Outcome) -> None:
        if isinstance(wish, Chain):
            assert isinstance(made, Artifact | Outcome)  # noqa: S101
            self._artifacts[wish] = made
        elif isinstance(wish, PoolWish):
            assert isinstance(made, Pool | Outcome)  # noqa: S101
            self._pools[wish] = made
        else:
            assert isinstance(made, _Examples | Outcome)  # noqa: S101
            self._examples[wish] = made

    def _is_settled(self, wish: Wish) -> bool:
        return wish in self._artifacts or wish in self._pools or wish in self._examples

    def _artifact(self, chain: Chain) -> Artifact:
        """What was made of a settled chain; _Unmade carries why nothing was."""
        made = self._artifacts[chain]
        if isinstance(made, Outcome):
            raise _Unmade(made)
        return made

    def _key(self, chain: Chain) -> str:
        if chain.before is not None:
            step = chain.steps[-1]
            examples = self._learned_from(chain)
            return step_key(
                self._artifact(chain.before),
                step,
                versions_of("steps", step.name),
                examples_sha256="" if examples is None else examples.sha256,
            )
        if chain.model.kind == "path":
            return digest({"model": self._stored(chain.model).location, "as": chain.source})
        name = _zoo_name(chain.model)
        made_by = versions_of("models", name)
        return digest({"model": name, "as": chain.source, "options": chain.model.options, "by": made_by})

    def _chain_job(self, chain: Chain, site: Site) -> Job:
        out_dir = str(site.out_dir)
        if chain.before is not None:
            examples = self._learned_from(chain)
            return StepJob(
                step=chain.steps[-1],
                source=self._artifact(chain.before),
                out_dir=out_dir,
                examples_path="" if examples is None else examples.path,
            )
        return SourceJob(model=self._stored(chain.model), format=chain.source, out_dir=out_dir)

    def _learned_from(self, chain: Chain) -> _Examples | None:
        """The samples for the last step of a chain; _Unmade says why there are none, or that they lack labels."""
        if chain.examples is None:
            return None
        made = self._examples[chain.examples]
        if isinstance(made, Outcome):
            raise _Unmade(made)
        step = chain.steps[-1].name
        if plugins.lookup("steps", step).learns_from == "labels" and not made.has_labels:
            raise StepFailed(
                f"{step} learns from labelled samples, and {chain.model.name} has none",
                hint="name a file with `labels` under `examples:` of the model, or leave the variant out",
            )
        return made

    def _examples_job(self, wish: ExamplesWish) -> Job:
        return ExamplesJob(
            model=self._stored(wish.before.model),
            inputs=self._artifact(wish.before).inputs,
            dimensions=wish.dimensions,
            seed=self._seed + _EXAMPLES_SEED_OFFSET,
            path=str(self._examples_path(wish)),
        )

    def _examples_path(self, wish: ExamplesWish) -> Path:
        return self._run_dir / "inputs" / f"{digest([repr(wish), self._seed], length=16)}.examples.npz"

    def _pool_job(self, wish: PoolWish) -> Job:
        path, labelled = self._pool_paths(wish)
        return InputsJob(
            model=self._stored(wish.before.model),
            inputs=self._artifact(wish.before).inputs,
            count=self._input_pool,
            batch=wish.batch,
            dimensions=wish.dimensions,
            seed=self._seed,
            pool_path=str(path),
            labelled_path=str(labelled),
        )

    def _lineage(self, chain: Chain, duration_s: float) -> tuple[LineageStep, ...]:
        if chain.before is None:
            return (LineageStep(step="source", options=(), source_id="", versions=(), duration_s=duration_s),)
        source, call = self._artifact(chain.before), chain.steps[-1]
        link = LineageStep(
            step=call.name,
            options=call.options,
            source_id=source.id,
            versions=versions_of("steps", call.name),
            duration_s=duration_s,
        )
        return (*source.lineage, link)

    def _stored(self, model: ModelRef) -> ModelRef:
        """The model with the store's own copy of the user's file: only what was hashed is ever opened."""
        if model.kind != "path":
            return model
        if model not in self._stored_models:
            callable_parts = split_callable(model.location)
            path = callable_parts[0] if callable_parts else Path(model.location)
            stored = self._store.import_model(path, self._members(path, model.format))
            for note in stored.notes:
                self._watcher.note(note)
            location = f"{stored.path}:{callable_parts[1]}" if callable_parts else str(stored.path)
            self._stored_models[model] = replace(model, location=location)
        return self._stored_models[model]

    def _members(self, path: Path, format: str) -> tuple[str, ...]:
        """The other files that a model file refers to; told by a child, for it takes a parser of foreign files."""
        if format == "openvino_ir":
            return (weights_file(path).name,)
        if format != "onnx":
            return ()
        name = f"members.{digest(str(path), length=12)}"
        child = self._crew.hire(MembersJob(path=str(path)), name, parser_limits(self._crew.width))
        try:
            reply = self._crew.ask(child, "make")
        finally:
            self._crew.dismiss([child])
        if not isinstance(reply, Answer):
            outcome = outcome_of(reply)
            raise _Unmade(replace(outcome, hint=outcome.hint or hint_for(outcome.status)))
        return tuple(reply.body["members"])

    def _of_its_file(self, wish: Wish, outcome: Outcome) -> Outcome:
        """Why a user's file could not be read, with its own name instead of its copy's, and a next step."""
        if not isinstance(wish, Chain) or wish.steps or wish.model not in self._stored_models:
            return outcome
        copy = self._stored_models[wish.model].location
        reason = outcome.reason.replace(copy, wish.model.location)
        return replace(outcome, reason=reason, hint=outcome.hint or hint_for(outcome.status))

    def _pool_paths(self, wish: PoolWish) -> tuple[Path, Path]:
        stem = digest([repr(wish), self._input_pool, self._seed], length=16)
        return self._run_dir / "inputs" / f"{stem}.npz", self._run_dir / "inputs" / f"{stem}.labels.npz"

    def _prepared(self, cell: Cell, reference: Cell) -> Prepared | Outcome:
        try:
            artifact = self._artifact(chain_of(cell, reference))
            source = self._artifact(replace(chain_of(cell, reference), steps=()))
        except _Unmade as unmade:
            return unmade.outcome
        pool = self._pools[pool_wish(cell, reference)]
        if isinstance(pool, Outcome):
            return pool
        return Prepared(cell=cell, artifact=artifact, pool=pool, source_sha256=source.id)

    def _what_runs(self) -> str:
        return ", ".join(str(running.wish) for running in self._running.values())


def _opens_a_users_file(job: Job) -> bool:
    return isinstance(job, SourceJob) and job.model.kind == "path" and job.format not in CODE_FORMATS


def _are_made_up(model: ModelRef) -> bool:
    """Whether a model's examples come from its signature alone (see `bench.worker.building`)."""
    return model.kind == "path" and not model.examples_path


def _zoo_name(model: ModelRef) -> str:
    return "null" if model.kind == "null" else model.location


def _path(kind: type, value: object) -> object:
    return Path(str(value)) if kind is Path else value
