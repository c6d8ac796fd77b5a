"""The highest rate at which one cell keeps a latency objective: deployed, driven to its limit, searched, confirmed."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench import records
from bench.core.artifact import Options
from bench.core.cell import Cell, Limits
from bench.core.errors import MatrixError, TargetError
from bench.core.files import write_atomic
from bench.core.results import Flag
from bench.core.served import LoadPoint, ProbeResult, SearchResult, Served
from bench.environment import affinity
from bench.load import Arrivals
from bench.matrix import Matrix
from bench.measure.search.findings import flags_of
from bench.measure.search.probing import probe_result
from bench.measure.search.saturation import Saturation, find_saturation
from bench.measure.search.search import SearchSettings, Slo, search
from bench.measure.served.columns import latencies_ms, steady
from bench.measure.served.evidence import plain_percentile
from bench.records.codec import encode

from .backstage import Backstage, backstage
from .deployment import Deployment, ServingFailed, shared_out
from .loads import Loads
from .numerics import require
from .prepared import Prepared, label_of_now
from .reconciling import reconciled
from .serve_up import as_target_error, require_possible
from .watch import Watcher

Percent = Literal[50, 90, 95, 99]

_SEED_OFFSET = 1_000  # arrivals of a search are not those of a run
_TIMEOUT_RATIO = 20  # of the objective: what is later is of no use to it, and drains for long
_SHORTEST_TIMEOUT_S = 1.0
_SATURATION_SHARE = 0.02  # of the budget, for each step of the closed loop
_SHORTEST_STEP_S = 0.2
_SHORTEST_SEARCH_S = 1.0
_LOAD_SHARE = 0.2  # of the budget, for one load
_FEWEST_REQUESTS = 100
_OVERRUN_RATIO = 3.0  # of the budget: loads that were disturbed are repeated
_DIRECTORY = "searches"


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """`percent` of all requests are answered within `latency_ms` of when they were due, and at most
    `error_budget_ratio` of them fail."""

    percent: Percent
    latency_ms: float
    error_budget_ratio: float = 0.0

    @property
    def name(self) -> str:
        """As people call the percentile."""
        return f"p{self.percent}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """What a search may take: `budget_s` from the first load on (None: as much as it needs), and processors for the
    servers (None: as the cell's limits say)."""

    budget_s: float | None = None
    cpus: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """A search as it is kept. `served.search` is its result, and `served.headline` the load that confirmed it.

    `p99_ms` of a probe is the percentile of the objective, whichever that is. `points` are the loads of the probes, in
    their order; `saturation_steps` are (callers, requests per second) of the closed loops.
    """

    cell_id: str
    model: str
    variant: str
    topology: str
    topology_options: Options
    limits: Limits
    objective: Objective
    effort: Effort
    started_at: str
    spent_s: float
    served: Served
    points: tuple[LoadPoint, ...] = ()
    saturation_steps: tuple[tuple[int, float], ...] = ()

    @property
    def is_confirmed(self) -> bool:
        """Whether a rate was confirmed, and nothing of the server speaks against its numbers."""
        sound = not any(flag.name.startswith("invalid-") for flag in self.served.flags)
        return sound and self.result.confirmed_per_s is not None

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What disturbed the search, and what is to be known of the server."""
        return tuple({flag.name: flag for flag in (*self.result.flags, *self.served.flags)}.values())

    @property
    def result(self) -> SearchResult:
        """What was found."""
        assert self.served.search is not None  # noqa: S101  it is made with one
        return self.served.search


def search_cell(
    matrix: Matrix,
    cell: Cell,
    reference: Cell,
    objective: Objective,
    effort: Effort,
    watcher: Watcher,
    *,
    store_root: Path | None = None,
) -> Searched:
    """Search one cell; TargetError when it cannot be built, served, or does not answer."""
    require_possible(matrix, cell)
    with backstage(matrix.measurement, watcher, store_root=store_root, purpose="search") as stage:
        prepared = require(cell, stage.workshop.prepare([(cell, reference)])[cell.id])
        return search_prepared(stage, matrix, prepared, objective, effort, watcher)


def search_prepared(
    stage: Backstage, matrix: Matrix, prepared: Prepared, objective: Objective, effort: Effort, watcher: Watcher
) -> Searched:
    """The same of a cell that is prepared: its topology is started for the search alone."""
    limits = with_cpus(prepared.cell.limits, effort.cpus)
    settings, co_located = shared_out(limits, matrix.serving.start_deadline_s)
    serving = replace(
        matrix.serving,
        slo_ms=objective.latency_ms,
        error_budget_ratio=objective.error_budget_ratio,
        timeout_s=min(matrix.serving.timeout_s, max(_SHORTEST_TIMEOUT_S, _TIMEOUT_RATIO * objective.latency_ms / 1e3)),
    )
    directory = stage.directory / "served" / prepared.cell.id
    tolerance = matrix.tolerances[prepared.cell.model.name, prepared.cell.variant.name]
    deployment = Deployment(stage.crew, prepared, directory, settings, tolerance, name=prepared.cell.id)
    started_at = label_of_now()
    try:
        with ExitStack() as stack:
            watcher.note(f"starting {prepared.cell.topology}")
            stack.enter_context(deployment)
            loads = Loads(deployment, serving, directory, seed=matrix.measurement.seed)
            hunt = _Hunt(
                deployment=deployment,
                loads=loads,
                objective=objective,
                effort=effort,
                watcher=watcher,
                seed=matrix.measurement.seed,
            )
            hunt.prepare(directory / "answers.npz", matrix.measurement.phase_deadline_s, serving.warm_up_s)
            result = hunt.search(serving.saturation_step_s, serving.max_concurrency)
            served = hunt.served(result, co_located=co_located)
            spent_s = hunt.spent_s
    except ServingFailed as failed:
        raise as_target_error(failed) from failed
    cell = prepared.cell
    return Searched(
        cell_id=cell.id,
        model=cell.model.name,
        variant=cell.variant.name,
        topology=cell.topology,
        topology_options=cell.topology_options,
        limits=settings.servers_limits,
        objective=objective,
        effort=effort,
        started_at=started_at,
        spent_s=spent_s,
        served=served,
        points=tuple(hunt.points),
        saturation_steps=hunt.saturation_steps,
    )


def with_cpus(limits: Limits, cpus: int | None) -> Limits:
    """The limits with so many processors; MatrixError when this process may not use as many."""
    if cpus is None:
        return limits
    allowed = sorted(affinity())
    if cpus > len(allowed):
        raise MatrixError(f"--cpus {cpus}: there are {len(allowed)} processors to use here", hint="name fewer")
    return replace(limits, cpu_ids=tuple(allowed[:cpus]))


def keep_search(results_dir: Path, found: Any, name: str) -> Path:
    """Write what was found below `searches/`, named by the time and `name`; StoreError when it cannot be written."""
    stamp = label_of_now()[:19].replace("-", "").replace(":", "").replace("T", "-")
    path = results_dir / _DIRECTORY / f"{stamp}-{name}.json"
    content = encode(found, place=path.name)
    with records.writing_to(path, "cannot be written", "the search was not kept; free space, or --results elsewhere"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    return path


class _TimeIsUp(Exception):
    """The search has taken far more than its budget."""


@dataclass(kw_only=True, slots=True)
class _Hunt:
    """One search on one deployment; every load of its probes leaves a point and a result."""

    deployment: Deployment
    loads: Loads
    objective: Objective
    effort: Effort
    watcher: Watcher
    seed: int
    points: list[LoadPoint] = field(default_factory=list)
    results: list[ProbeResult] = field(default_factory=list)
    saturation_steps: tuple[tuple[int, float], ...] = ()
    first_started_ns: frozenset[int] = frozenset()  # when each server process was started that the warm-up met
    started_s: float = field(default_factory=time.monotonic)

    @property
    def spent_s(self) -> float:
        """Since the topology was up."""
        return time.monotonic() - self.started_s

    def prepare(self, answers_path: Path, deadline_s: float, warm_up_s: float) -> None:
        """Warm up, and remember the answers to each input alone: those under load are compared with them."""
        self.loads.closed(1, duration_s=warm_up_s, inputs=[0])
        self.first_started_ns = frozenset(each.started_ns for each in self.deployment.counts())
        self.loads.note_checked(self.deployment.check(answers_path, deadline_s=deadline_s))
        self.deployment.ask("expect", {"outputs_path": str(answers_path)}, deadline_s=deadline_s)

    def search(self, step_s: float, max_concurrency: int) -> SearchResult:
        """Closed loops up to the limit, then the search below it."""
        saturation = self._saturation(step_s, max_concurrency)
        budget_s = self.effort.budget_s
        if budget_s is not None:
            budget_s = max(_SHORTEST_SEARCH_S, budget_s - self.spent_s)
        settings = SearchSettings(budget_s=budget_s)
        planned = settings.full_requests * settings.scale(saturation.x_max_per_s)
        slo = Slo(
            latency_ms=self.objective.latency_ms,
            error_budget_ratio=self.objective.error_budget_ratio,
            percent=self.objective.percent,
        )
        try:
            return search(lambda rate, count: self._probe(rate, count, saturation, planned), slo, saturation, settings)
        except _TimeIsUp:
            return self._unfinished(slo, saturation, settings.scale(saturation.x_max_per_s))

    def _saturation(self, step_s: float, max_concurrency: int) -> Saturation:
        if self.effort.budget_s is not None:
            step_s = min(step_s, max(_SHORTEST_STEP_S, _SATURATION_SHARE * self.effort.budget_s))

        verdicts: dict[float, str] = {}

        def throughput(callers: int) -> float:
            self.watcher.progress(f"closed loop of {callers}", 0.0)
            point = self.loads.closed(callers, duration_s=step_s).point
            verdicts[point.achieved_per_s] = point.verdict
            return point.achieved_per_s

        try:
            found = find_saturation(throughput, max_concurrency)
        except ValueError as error:
            raise TargetError(str(error), hint="bench serve the same, and ask it with bench query") from error
        if verdicts[found.x_max_per_s] == "client-limited":
            found = replace(found, is_limit=False)
        self.saturation_steps = found.steps
        self.watcher.note(f"closed loop: at most {found.x_max_per_s:.4g}/s, with {found.knee_concurrency} callers")
        return found

    def _probe(self, rate_per_s: float, requests: int, saturation: Saturation, planned: float) -> ProbeResult:
        if self.effort.budget_s is not None and self.spent_s > _OVERRUN_RATIO * self.effort.budget_s:
            raise _TimeIsUp
        done = sum(point.requests for point in self.points)
        requests = self._affordable(rate_per_s, requests)
        self.watcher.progress(f"{rate_per_s:.4g}/s, {requests} requests", min(0.99, done / planned))
        seed = self.seed + _SEED_OFFSET + len(self.points)
        arrivals = Arrivals(kind="poisson", rate_per_s=rate_per_s, count=requests, seed=seed)
        loaded = self.loads.open(arrivals, x_max_per_s=saturation.x_max_per_s)
        loaded.path.unlink()
        self.points.append(loaded.point)
        result = probe_result(loaded.requests, loaded.point, rate_per_s)
        percentile_ms = plain_percentile(latencies_ms(steady(loaded.requests)), self.objective.percent)
        self.results.append(replace(result, p99_ms=None if math.isinf(percentile_ms) else percentile_ms))
        return self.results[-1]

    def _unfinished(self, slo: Slo, saturation: Saturation, scale: float) -> SearchResult:
        """What was seen before the time was up: loads that cannot be believed are repeated, and slow ones take long."""
        held = [result.rate_per_s for result in self.results if slo.is_kept(result)]
        failed = [each.rate_per_s for each in self.results if not each.problem and not slo.is_kept(each)]
        doubts = sum(bool(result.problem) for result in self.results)
        return SearchResult(
            slo_ms=slo.latency_ms,
            held_per_s=max(held, default=None),
            failed_per_s=min(failed, default=None),
            x_max_per_s=saturation.x_max_per_s,
            knee_concurrency=saturation.knee_concurrency,
            requests=sum(result.requests for result in self.results),
            reason=f"the time was up after {len(self.results)} loads, of which {doubts} cannot be believed; search with"
            " a larger budget, or on a quieter machine",
            probes=tuple(self.results),
            flags=flags_of(self.results, slo.latency_ms, scale, saturation),
        )

    def _affordable(self, rate_per_s: float, requests: int) -> int:
        """At a low rate a load of the usual length would take more than its share of the budget."""
        if self.effort.budget_s is None:
            return requests
        return min(requests, max(_FEWEST_REQUESTS, round(rate_per_s * self.effort.budget_s * _LOAD_SHARE)))

    def served(self, result: SearchResult, *, co_located: bool) -> Served:
        """What is known of the server besides the rate, with what its own counts say of it."""
        description = self.deployment.description
        assert description is not None  # noqa: S101  it is up
        served = Served(
            notes=description.notes,
            protocol=description.endpoint.protocol,
            encoding=description.endpoint.encoding,
            headline=self._confirming(result),
            x_max_per_s=result.x_max_per_s,
            knee_concurrency=result.knee_concurrency,
            search=result,
            start_s=self.deployment.start_s,
            server_memory_bytes=self.deployment.server_memory_bytes(),
            server_processes=self.deployment.server_processes(),
            co_located=co_located,
            slo_ms=self.objective.latency_ms,
        )
        return reconciled(served, self.deployment, self.loads.counts, self.first_started_ns)

    def _confirming(self, result: SearchResult) -> LoadPoint | None:
        """The load of the last probe, where it confirmed the rate."""
        return self.points[-1] if result.confirmed_per_s is not None else None
