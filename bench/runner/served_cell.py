"""One served cell: started, proved to be itself, checked, measured without load, at its limit, and under open loads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.core.block import Block
from bench.core.cell import Measurement, Serving, Tolerance
from bench.core.errors import MatrixError, TargetError
from bench.core.results import Outcome
from bench.core.served import LoadPoint, Served
from bench.load import Arrivals
from bench.measure.search.saturation import find_saturation
from bench.measure.served.attribution import attribute
from bench.measure.served.caching import caching_ratio, in_pairs
from bench.records import store_requests

from .agreement import agreement, in_process_p50, server_cost
from .crew import Crew, outcome_of_error
from .deployment import Deployment, ServingFailed, shared_out
from .loads import Loaded, Loads
from .prepared import Prepared
from .reconciling import reconciled
from .timeline import Timeline

_MIN_PAIRS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """How a served cell is to be measured and judged."""

    measurement: Measurement
    serving: Serving
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class InProcess:
    """What the same variant did without a server: blocks of each round, and the file with its outputs."""

    blocks: tuple[tuple[Block, ...], ...]
    outputs_path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedResult:
    """What a deployment yielded; `outcome` says why it is incomplete, None when it is whole."""

    served: Served
    outputs_path: str = ""  # of the answers that were checked
    cpu_ids: tuple[int, ...] = ()  # of the servers, where they were given some of their own
    outcome: Outcome | None = None


class ServedCell:
    """Measures one cell behind its topology."""

    def __init__(
        self,
        crew: Crew,
        run_dir: Path,
        prepared: Prepared,
        wanted: Wanted,
        timeline: Timeline,
    ) -> None:
        self._crew = crew
        self._run_dir = run_dir
        self._prepared = prepared
        self._cell = prepared.cell
        self._measurement = wanted.measurement
        self._serving = wanted.serving
        self._tolerance = wanted.tolerance
        self._timeline = timeline
        self._outputs_path = str(run_dir / "outputs" / f"{self._cell.id}.served.npz")
        self._served = Served(slo_ms=wanted.serving.slo_ms)
        self._started_ns: set[int] = set()  # when each server process that the warm-up met was started

    def measure(self, in_process: InProcess, tell: Callable[[str], None]) -> ServedResult:
        """Start, measure and end the topology; whatever was found before something went wrong is kept."""
        directory = self._run_dir / "served" / self._cell.id
        shutil.rmtree(directory, ignore_errors=True)  # of an attempt that was interrupted
        settings, co_located = shared_out(self._cell.limits, self._serving.start_deadline_s)
        outcome: Outcome | None = None
        self._served = replace(self._served, co_located=co_located, in_process_p50_ms=in_process_p50(in_process.blocks))
        deployment = Deployment(self._crew, self._prepared, directory, settings, self._tolerance, name=self._cell.id)
        try:
            tell("starting")
            with ExitStack() as stack:
                with self._timeline.spend("load"):
                    stack.enter_context(deployment)
                self._note_identity(deployment)
                loads = Loads(deployment, self._serving, directory, seed=self._measurement.seed)
                self._measure_all(deployment, loads, in_process, tell)
        except ServingFailed as failed:
            outcome = failed.outcome
        except (MatrixError, TargetError) as error:
            outcome = outcome_of_error(error, phase="load")
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return ServedResult(
            served=self._served,
            outputs_path=self._outputs_path if self._served.agreement else "",
            cpu_ids=settings.servers_limits.cpu_ids or (),
            outcome=outcome,
        )

    def _note_identity(self, deployment: Deployment) -> None:
        description, identity = deployment.description, deployment.identity
        assert description is not None  # noqa: S101  the deployment is up
        self._served = replace(
            self._served,
            notes=description.notes,
            protocol=description.endpoint.protocol,
            encoding=description.endpoint.encoding,
            start_s=deployment.start_s,
            import_s=identity.import_s if identity is not None else None,
            load_s=identity.load_s if identity is not None else None,
        )

    def _measure_all(
        self, deployment: Deployment, loads: Loads, in_process: InProcess, tell: Callable[[str], None]
    ) -> None:
        with self._timeline.spend("warm-up"):
            tell("warm-up")
            loads.closed(1, duration_s=self._serving.warm_up_s, inputs=[0])
            self._started_ns = {each.started_ns for each in deployment.counts()}
        with self._timeline.spend("check"):
            tell("check")
            self._look_for_caching(deployment, loads)
            self._check(deployment, loads, in_process)
        with self._timeline.spend("timed"):
            tell("without load")
            zero = loads.closed(1, duration_s=self._serving.zero_load_s).point
            self._served = replace(
                self._served, zero_load=zero, server_cost_ms=server_cost(zero, self._served.in_process_p50_ms)
            )
            tell("saturation")
            self._saturate(loads)
            tell("load")
            self._load(deployment, loads)
            for ratio in self._serving.curve_ratios:
                tell(f"{ratio:.0%} of saturation")
                self._add_to_curve(loads, ratio)
        self._reconcile(deployment, loads)

    def _load(self, deployment: Deployment, loads: Loads) -> None:
        """The cell's own load: its numbers are the cell's."""
        headline = self._headline(loads)
        self._served = replace(
            self._served,
            headline=headline.point,
            attribution=attribute(headline.requests),
            samples_path=store_requests(self._run_dir, self._cell.id, headline.path),
            server_memory_bytes=deployment.server_memory_bytes(),
            server_processes=deployment.server_processes(),
        )

    def _look_for_caching(self, deployment: Deployment, loads: Loads) -> None:
        """Each input that the server has not seen, in turn with the one that it has: answers remembered by input give
        themselves away. It comes first, for afterwards no input is new."""
        inputs = deployment.inputs
        if inputs <= _MIN_PAIRS or self._cell.has_varied_inputs:
            return
        in_turn = in_pairs(inputs, repeated=0)
        requests = loads.closed(1, inputs=in_turn, max_requests=len(in_turn)).requests
        self._served = replace(self._served, caching_ratio=caching_ratio(requests, repeated=0))

    def _check(self, deployment: Deployment, loads: Loads, in_process: InProcess) -> None:
        deadline_s = self._measurement.phase_deadline_s
        loads.note_checked(deployment.check(Path(self._outputs_path), deadline_s=deadline_s))
        deployment.ask("expect", {"outputs_path": in_process.outputs_path}, deadline_s=deadline_s)
        found = agreement(in_process.outputs_path, self._outputs_path, self._tolerance)
        self._served = replace(self._served, agreement=found)

    def _saturate(self, loads: Loads) -> None:
        """Ever more callers until more of them bring no more throughput."""
        points: dict[int, LoadPoint] = {}

        def throughput(concurrency: int) -> float:
            points[concurrency] = loads.closed(concurrency, duration_s=self._serving.saturation_step_s).point
            return points[concurrency].achieved_per_s

        try:
            found = find_saturation(throughput, self._serving.max_concurrency)
        except ValueError as error:
            raise ServingFailed(_nothing_answered(points)) from error
        most = max(points.values(), key=lambda point: point.achieved_per_s)
        self._served = replace(
            self._served, saturation=most, x_max_per_s=found.x_max_per_s, knee_concurrency=found.knee_concurrency
        )

    def _headline(self, loads: Loads) -> Loaded:
        plan = self._cell.load
        if plan.kind == "closed":
            return loads.closed(plan.concurrency, max_requests=self._serving.requests, checked=True)
        x_max_per_s = self._served.x_max_per_s
        rate_per_s = plan.rate_per_s or (plan.load_ratio or 0.0) * (x_max_per_s or 0.0)
        if plan.kind == "trace":
            arrivals = Arrivals(kind="trace", trace_path=plan.trace_path, duration_s=self._serving.point_max_s)
        else:
            arrivals = Arrivals(
                kind=plan.kind,
                rate_per_s=rate_per_s,
                count=self._affordable(self._serving.requests, (rate_per_s + (plan.end_rate_per_s or rate_per_s)) / 2),
                burst_size=plan.burst_size or 1,
                end_rate_per_s=plan.end_rate_per_s or 0.0,
                seed=self._measurement.seed,
            )
        return loads.open(arrivals, x_max_per_s=x_max_per_s)

    def _affordable(self, requests: int, rate_per_s: float) -> int:
        return max(1, min(requests, round(rate_per_s * self._serving.point_max_s)))

    def _add_to_curve(self, loads: Loads, ratio: float) -> None:
        x_max_per_s = self._served.x_max_per_s or 0.0
        rate_per_s = ratio * x_max_per_s
        arrivals = Arrivals(
            kind="poisson",
            rate_per_s=rate_per_s,
            count=self._affordable(self._serving.curve_requests, rate_per_s),
            seed=self._measurement.seed,
        )
        point = loads.open(arrivals, x_max_per_s=x_max_per_s).point
        self._served = replace(self._served, curve=(*self._served.curve, point))

    def _reconcile(self, deployment: Deployment, loads: Loads) -> None:
        """What the servers counted beside what the client did."""
        self._served = reconciled(self._served, deployment, loads.counts, self._started_ns)


def _nothing_answered(points: Mapping[int, LoadPoint]) -> Outcome:
    return Outcome(
        status="failed",
        reason=f"none of {sum(point.requests for point in points.values())} requests was answered at saturation",
        hint="see the servers' logs below the run's directory",
        culprit="target",
        phase="load",
    )
