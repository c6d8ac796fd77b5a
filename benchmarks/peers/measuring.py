"""One server at a time: started, checked, and measured in each of its encodings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.core.artifact import Artifact
from bench.core.cell import Cell, Limits, Serving, Tolerance
from bench.core.served import ProbeResult, Verdict
from bench.core.serving import Description, Service, Site
from bench.load import Arrivals
from bench.measure.search.probing import probe_result
from bench.measure.search.saturation import find_saturation
from bench.measure.search.search import SearchSettings, Slo, search
from bench.measure.served.columns import latencies_ms, steady
from bench.measure.served.evidence import plain_percentile
from bench.runner.agreement import agreement
from bench.runner.crew import Crew
from bench.runner.deployment import Deployment, ServingFailed, Settings
from bench.runner.loads import Loaded, Loads

from .contenders import Contender, Described, description_of, endpoint_of
from .model import NAME, Subject
from .rows import Row

START_S = 90.0
_FIRST_ANSWERS = 200  # asked for at most, one each 10 ms, of a server that says it is ready and is not
_OPEN_LOADS = 2
_EVERYWHERE = "it listens on all addresses, and there are no private networks here (bench doctor)"
_LATE: Verdict = "client-limited"
_TELLING = ("ok", "saturated", _LATE)
TOLERANCE = Tolerance()
#: A few thousand requests: far fewer than make a rate good to 2 %, enough for servers that differ by tens of percent.
_SEARCH = SearchSettings(
    bracket_probes=3,
    bracket_requests=250,
    fit_requests=1_750,
    confirm_requests=500,
    max_confirmations=4,
    step_back_ratio=0.05,
    back_off_ratio=0.06,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is measured of each row. `search_s` is about what a search for the highest rate costs where nothing
    disturbs it, 0 for none; one that takes three times as long is given up."""

    rate_per_s: float
    open_s: float
    closed_s: float
    callers: int
    slo_ms: float
    search_s: float
    server_cpu: int
    client_cpu: int
    seed: int


class ContenderDeployment(Deployment):
    """A deployment of a topology, or of a peer that is none."""

    def __init__(self, crew: Crew, subject: Subject, contender: Contender, plan: Plan, directory: Path) -> None:
        limits = Limits(threads=1, cpu_ids=(plan.server_cpu,))
        settings = Settings(
            servers_limits=limits,
            clients_limits=Limits(threads=1, cpu_ids=(plan.client_cpu,)),
            start_deadline_s=START_S,
        )
        prepared = subject.prepared(contender.topology or contender.name, contender.options, limits)
        super().__init__(crew, prepared, directory, settings, TOLERANCE, name=directory.name)
        self._contender = contender
        self._artifact: Artifact = subject.artifact
        self._described: Described | None = None

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """What was started."""
        return tuple(process.argv for process in self._up.processes)

    @property
    def _up(self) -> Description:
        if self.description is None:
            raise RuntimeError("asked before it was started")
        return self.description

    def aim(self, encoding: str) -> None:
        """Ask in this encoding from now on."""
        if self._described is not None:
            endpoint = endpoint_of(self._described, encoding, NAME)
        else:
            endpoint = replace(self._up.endpoint, encoding=encoding)
        self.ask("aim", {"endpoint": msgspec.to_builtins(endpoint)}, deadline_s=60.0)

    def _describe(self, cell: Cell, directory: Path, free_port: Callable[[], int]) -> Description:
        contender = self._contender
        if contender.describe is None or contender.environment is None:
            return super()._describe(cell, directory, free_port)
        where = directory.resolve()
        site = Site(directory=where, counters_dir=where / "counters", nonce="", free_port=free_port)
        service = Service(model=NAME, artifact=self._artifact, adapter="onnxruntime")
        self._described = contender.describe(service, site, contender.environment)
        return description_of(self._described, contender.encodings[0], NAME)


class Bench:
    """Measures contenders within one supervisor and one directory."""

    def __init__(self, crew: Crew, subject: Subject, plan: Plan, run_dir: Path, *, has_private_network: bool) -> None:
        self._crew = crew
        self._subject = subject
        self._plan = plan
        self._run_dir = run_dir
        self._has_private_network = has_private_network

    def measure(
        self, contender: Contender, encodings: Sequence[str], number: int, *, searched: Collection[str]
    ) -> Iterator[Row]:
        """One fresh start of a server and a row for each encoding, their order drawn; a row says if it failed."""
        directory = self._run_dir / f"{number}.{contender.slug}"
        in_order = random.Random(f"{self._plan.seed} {number} {contender.name}").sample(encodings, len(encodings))
        blank = Row(contender=contender.name, encoding="", round=number)
        if contender.listens_everywhere and not self._has_private_network:
            yield from (replace(blank, encoding=encoding, problem=_EVERYWHERE) for encoding in in_order)
            return
        try:
            with ContenderDeployment(self._crew, self._subject, contender, self._plan, directory) as deployment:
                blank = self._started(deployment, in_order[0], blank, directory)
                for encoding in in_order:
                    row = self._row(deployment, replace(blank, encoding=encoding), directory)
                    if encoding in searched and not row.problem:
                        row = self._searched(deployment, row, directory)
                    yield row
        except ServingFailed as failed:
            reason = f"it did not come up: {failed.outcome.reason}"
            yield from (replace(blank, encoding=encoding, problem=reason) for encoding in in_order)

    def _started(self, deployment: ContenderDeployment, encoding: str, blank: Row, directory: Path) -> Row:
        """The time until the first good answer; that of the client's own start is not in it."""
        deployment.aim(encoding)
        loads = self._loads(deployment, directory)
        began_s = time.monotonic()
        for _ in range(_FIRST_ANSWERS):
            if loads.closed(1, max_requests=1).point.answered:
                break
            time.sleep(0.01)
        started_s = deployment.start_s + time.monotonic() - began_s
        return replace(blank, first_answer_s=started_s, commands=deployment.commands)

    def _loads(self, deployment: Deployment, directory: Path) -> Loads:
        serving = Serving(slo_ms=self._plan.slo_ms, timeout_s=10.0, point_max_s=60.0)
        return Loads(deployment, serving, directory, seed=self._plan.seed)

    def _row(self, deployment: ContenderDeployment, row: Row, directory: Path) -> Row:
        try:
            deployment.aim(row.encoding)
            return self._loaded(deployment, row, directory)
        except ServingFailed as failed:
            return replace(row, problem=failed.outcome.reason)

    def _loaded(self, deployment: ContenderDeployment, row: Row, directory: Path) -> Row:
        plan = self._plan
        loads = self._loads(deployment, directory)
        loads.closed(1, duration_s=0.3)
        answers = directory / "answers.npz"
        deployment.check(answers, deadline_s=60.0)
        deployment.ask("expect", {"outputs_path": str(self._subject.outputs_path)}, deadline_s=60.0)
        found = agreement(str(self._subject.outputs_path), str(answers), TOLERANCE)
        if found not in {"bitwise", "within tolerance"}:
            return replace(row, problem=f"wrong answers: {found}")
        load = self._open_load(loads, row.round)
        full = loads.closed(plan.callers, duration_s=plan.closed_s).point
        latencies = latencies_ms(steady(load.requests))
        told_by_server = load.point.verdict != _LATE
        return replace(
            row,
            cpu_us=load.point.server_cpu_us_per_request,
            p50_ms=plain_percentile(latencies, 50) if told_by_server else None,
            p99_ms=plain_percentile(latencies, 99) if told_by_server else None,
            requests=load.point.requests,
            x_max_per_s=full.achieved_per_s if full.verdict != _LATE else None,
            cpu_us_at_x_max=full.server_cpu_us_per_request,
            memory_bytes=deployment.server_memory_bytes(),
            processes=deployment.server_processes(),
            problem=_problem(load),
            notes=tuple(f"{flag.name}: {flag.text}" for flag in load.point.flags),
        )

    def _open_load(self, loads: Loads, number: int) -> Loaded:
        """Once more where the client was late: a neighbour may have taken its core."""
        plan = self._plan
        for repetition in range(_OPEN_LOADS):
            seed = plan.seed + _OPEN_LOADS * number + repetition
            arrivals = Arrivals(kind="poisson", rate_per_s=plan.rate_per_s, duration_s=plan.open_s, seed=seed)
            load = loads.open(arrivals, x_max_per_s=None)
            if load.point.verdict != _LATE:
                break
        return load

    def _searched(self, deployment: ContenderDeployment, row: Row, directory: Path) -> Row:
        """With the highest rate within the objective."""
        plan = self._plan
        loads = self._loads(deployment, directory)
        give_up_at = time.monotonic() + 3 * plan.search_s

        def probe(rate_per_s: float, requests: int) -> ProbeResult:
            if time.monotonic() > give_up_at:
                raise _OutOfTime
            arrivals = Arrivals(kind="poisson", rate_per_s=rate_per_s, count=requests, seed=plan.seed)
            load = loads.open(arrivals, x_max_per_s=None)
            return probe_result(load.requests, load.point, rate_per_s)

        try:
            saturation = find_saturation(
                lambda callers: loads.closed(callers, duration_s=plan.closed_s / 3).point.achieved_per_s, plan.callers
            )
            found = search(probe, Slo(latency_ms=plan.slo_ms), saturation, _SEARCH)
        except _OutOfTime:
            return replace(row, search_words=f"given up after {3 * plan.search_s:g} s")
        except ServingFailed as failed:
            return replace(row, search_words=failed.outcome.reason)
        return replace(row, within_slo_per_s=found.confirmed_per_s, search_words=found.reason)


class _OutOfTime(Exception):
    """A search takes too long."""


def _problem(load: Loaded) -> str:
    """Why a load counts for nothing. One of which the client was the limit, or which was more than the server could do,
    still says what a request costs."""
    if load.problem:
        return f"wrong answers: {load.problem}"
    if load.point.verdict in _TELLING:
        return ""
    return next((flag.text for flag in load.point.flags if flag.name.startswith("invalid-")), load.point.verdict)
