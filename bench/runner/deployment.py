"""A topology that is up: its processes, and the client that asks them, on one private network."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from bench.core import plugins
from bench.core.cell import Cell, Limits, Tolerance
from bench.core.errors import BenchError, Interrupted, PluginError, RefusedError
from bench.core.job import LoadJob
from bench.core.results import Outcome
from bench.core.serving import LOOPBACK, Description, Identity, Process, Service, Site
from bench.environment import affinity
from bench.monitor import trees
from bench.supervise import Answer, Child
from servers.counters import WorkerCounts, read_counters

from .crew import Crew, outcome_of, outcome_of_error
from .prepared import Prepared

_CPUS_TO_SHARE_OUT = 4  # with fewer, a processor for the client alone would be taken from the servers
_PROBE_SLICE_S = 0.25  # how long one probe is tried before the processes are looked after
_CHECK_GRACE_S = 30.0  # for what the client does besides waiting for the answers
_LEAVE_S = 8.0  # a broker writes its tables before it leaves
_NAME_CHARS = 48


class ServingFailed(Exception):
    """A served cell cannot go on; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where processes run. `clients_limits` is what the load generator may use; `network` is the host's where people
    shall reach the server, `port` the endpoint's where they choose it, `tokenizer` what makes token ids of their
    texts."""

    servers_limits: Limits
    clients_limits: Limits
    start_deadline_s: float
    network: Literal["private", "host"] = "private"
    port: int | None = None
    tokenizer: str = ""


def shared_out(limits: Limits, start_deadline_s: float) -> tuple[Settings, bool]:
    """Who runs where, and whether client and servers share processors: the client has one of its own where the cell
    leaves one free, or the machine has enough of them."""
    allowed = set(affinity())
    spare = sorted(allowed - set(limits.cpu_ids)) if limits.cpu_ids is not None else []
    servers = limits
    if limits.cpu_ids is None and len(allowed) >= _CPUS_TO_SHARE_OUT:
        spare = [max(allowed)]
        servers = replace(limits, cpu_ids=tuple(sorted(allowed - set(spare))))
    clients = Limits(threads=1, cpu_ids=tuple(spare) or None)
    settings = Settings(servers_limits=servers, clients_limits=clients, start_deadline_s=start_deadline_s)
    return settings, not spare


class Deployment:
    """Starts what a topology describes, one process after the other, and ends it all when the block is left."""

    def __init__(
        self, crew: Crew, prepared: Prepared, directory: Path, settings: Settings, tolerance: Tolerance, *, name: str
    ) -> None:
        self._crew = crew
        self._prepared = prepared
        self._directory = directory
        self._settings = settings
        self._tolerance = tolerance
        self._name = name
        self._nonce = secrets.token_hex(8)
        self._servers: list[tuple[Process, Child]] = []
        self._client: Child | None = None
        self.description: Description | None = None
        self.identity: Identity | None = None
        self.start_s = 0.0
        self.inputs = 0  # batches that the client can send

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    # ------------------------------------------------------------------------------------------------------ questions

    def ask(self, verb: str, body: Mapping[str, Any] | None = None, *, deadline_s: float) -> dict[str, Any]:
        """Let the client do something; ServingFailed says why it cannot, and names a server that has died meanwhile."""
        assert self._client is not None  # noqa: S101  the client is the first to start
        reply = self._crew.ask_within(self._client, verb, dict(body or {}), deadline_s=deadline_s)
        if isinstance(reply, Answer):
            return reply.body
        self.require_alive()
        raise ServingFailed(outcome_of(reply))

    def check(self, outputs_path: Path, *, deadline_s: float) -> int:
        """Have every input answered twice and the answers written down; returns how many requests that took."""
        body = {"outputs_path": str(outputs_path), "at_most_s": deadline_s}
        sent: int = self.ask("check", body, deadline_s=deadline_s + _CHECK_GRACE_S)["sent"]
        return sent

    def require_alive(self) -> None:
        """ServingFailed when a process of the topology has ended."""
        for process, child in self._servers:
            if child.death is not None:
                told = outcome_of(child.death)
                raise ServingFailed(replace(told, reason=f"{process.name} has ended: {told.reason}", phase="serve"))

    @property
    def dead(self) -> tuple[str, ...]:
        """Processes that have ended although nobody asked them to."""
        return tuple(process.name for process, child in self._servers if child.death is not None)

    def server_cpu_ns(self) -> int | None:
        """Processor time of all servers, fronts, balancers and brokers so far; None where others do the work."""
        return trees.cpu_ns(self._pids) if self._does_all_work else None

    def server_memory_bytes(self) -> int | None:
        """Their proportional set size now; None where others do the work."""
        return trees.memory_bytes(self._pids) if self._does_all_work else None

    def server_processes(self) -> int:
        """How many processes they are."""
        return trees.count(self._pids)

    def counts(self) -> tuple[WorkerCounts, ...]:
        """What servers of ours have counted, one entry per process that ever was."""
        return read_counters(self._directory / "counters")

    @property
    def pids(self) -> dict[str, int]:
        """Name -> process id of what was started, as the host sees it."""
        return {process.name: child.pid for process, child in self._servers}

    # ---------------------------------------------------------------------------------------------------- up and down

    def _start(self) -> None:
        (self._directory / "counters").mkdir(parents=True)
        cell = self._prepared.cell
        job = LoadJob(
            cell_id=cell.id,
            artifact=self._prepared.artifact,
            pool_path=self._prepared.pool.path,
            tolerance=self._tolerance,
        )
        try:
            self.description = self._describe(cell, self._directory, self._ports(cell))
            network = "host" if self.description.network == "host" else self._settings.network
            if self.description.listens_everywhere and (network == "host" or not self._crew.has_private_networks):
                raise RefusedError(
                    f"topology {cell.topology} listens on every interface, and no private network keeps it in here",
                    hint="bench run, where namespaces are allowed (bench doctor), or the option image",
                )
            self._client = self._crew.hire(job, f"{self._name}.client", self._settings.clients_limits, network=network)
            started_s = time.monotonic()
            for process in self.description.processes:
                self._start_one(process)
        except Interrupted:
            raise
        except BenchError as error:
            raise ServingFailed(outcome_of_error(error, phase="serve")) from error
        self.start_s = time.monotonic() - started_s
        aimed = self.ask("aim", {"endpoint": msgspec.to_builtins(self.description.endpoint)}, deadline_s=60.0)
        self.inputs = aimed["inputs"]
        self._identify()

    def _describe(self, cell: Cell, directory: Path, free_port: Callable[[], int]) -> Description:
        topology = plugins.load("topologies", cell.topology)()
        site = Site(
            directory=directory.resolve(),
            counters_dir=(self._directory / "counters").resolve(),
            nonce=self._nonce,
            free_port=free_port,
        )
        service = Service(
            model=served_name(cell.model.name),
            artifact=self._prepared.artifact,
            adapter=cell.variant.adapter,
            adapter_options=cell.variant.adapter_options,
            threads=cell.limits.threads,
            tokenizer=self._settings.tokenizer,
        )
        try:
            description: Description = topology.describe(service, topology.Options(**dict(cell.topology_options)), site)
        except BenchError:
            raise
        except Exception as error:  # a plug-in may raise anything; it costs its own cell only
            raise PluginError(
                f"topology {cell.topology!r} cannot say what to start: {type(error).__name__}: {error}",
                hint="bench doctor",
            ) from error
        return description

    def _ports(self, cell: Cell) -> Callable[[], int]:
        """Free ports; where people chose the endpoint's, a rehearsal shows which of them that is."""
        chosen = self._settings.port
        if chosen is None:
            return _free_port
        given: list[int] = []

        def noted() -> int:
            given.append(_free_port())
            return given[-1]

        rehearsal = self._directory / "rehearsal"
        rehearsal.mkdir()
        endpoint = self._describe(cell, rehearsal, noted).endpoint
        return iter([chosen if port == endpoint.port else port for port in given]).__next__

    def _start_one(self, process: Process) -> None:
        """Start it and wait until it is ready; ServingFailed when it ends first, or its time is up."""
        assert self._client is not None  # noqa: S101
        child = self._crew.start(
            process, f"{self._name}.{process.name}", self._directory, self._settings.servers_limits, self._client
        )
        self._servers.append((process, child))
        patience_s = max(process.ready.deadline_s, self._settings.start_deadline_s)
        give_up_at = time.monotonic() + patience_s
        probe = {"probe": msgspec.to_builtins(process.ready), "seconds": _PROBE_SLICE_S}
        while seen := self.ask("probe", probe, deadline_s=30.0)["seen"]:
            self.require_alive()
            if time.monotonic() > give_up_at:
                raise ServingFailed(self._never_ready(process, child, patience_s, seen))
        self.require_alive()

    def _never_ready(self, process: Process, child: Child, patience_s: float, seen: str) -> Outcome:
        self._crew.dismiss([child])
        log_tail = child.death.log_tail if child.death is not None else ""
        return Outcome(
            status="timeout",
            reason=f"{process.name} was not ready within {patience_s:g} s: {seen}",
            hint=f"see its log: {child.spec.log_path}",
            culprit="target",
            phase="serve",
            log_tail=log_tail,
        )

    def _identify(self) -> None:
        """The server must know this deployment's nonce and serve this artifact: any program can listen on a port."""
        assert self.description is not None  # noqa: S101
        if self.description.endpoint.identity_port is None:
            return
        told = self.ask("identify", deadline_s=30.0)["identity"]
        try:
            found = msgspec.convert(told, Identity)
        except msgspec.ValidationError as error:
            raise ServingFailed(self._stranger(f"it says {error}")) from error
        if found.nonce != self._nonce:
            raise ServingFailed(self._stranger("it does not know the nonce of this run"))
        if found.artifact_id != self._prepared.artifact.id:
            raise ServingFailed(self._stranger(f"it serves another model, {found.artifact_id[:12]}"))
        self.identity = found

    def _stranger(self, why: str) -> Outcome:
        assert self.description is not None  # noqa: S101
        return Outcome(
            status="failed",
            reason=f"another program answers on port {self.description.endpoint.port}: {why}",
            hint="end that program, or run where private networks are allowed (bench doctor)",
            culprit="host",
            phase="serve",
        )

    def _stop(self) -> None:
        """The client first, then the processes in the opposite order of their start."""
        if self._client is not None:
            self._crew.dismiss([self._client])
        for _, child in reversed(self._servers):
            self._crew.dismiss([child], grace_s=_LEAVE_S)

    @property
    def client_cpus(self) -> int:
        """How many processors the load generator may keep busy."""
        return len(self._settings.clients_limits.cpu_ids or affinity())

    @property
    def _does_all_work(self) -> bool:
        return self.description is not None and self.description.does_all_work

    @property
    def _pids(self) -> list[int]:
        return [child.pid for _, child in self._servers if child.death is None]


def _free_port() -> int:
    """One that nobody holds now; on a private network nobody will, and on the host's the nonce tells."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def served_name(model: str) -> str:
    """A model's name as it may stand in a URL path and in a configuration file."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in model)
    return kept[:_NAME_CHARS] or "model"
