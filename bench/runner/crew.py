"""Workers as the runner uses them: a job becomes a child, questions go out a few at a time, deaths become outcomes."""

from __future__ import annotations

import os
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench.core.cell import Limits
from bench.core.errors import BenchError, ExecutionUnavailable, RefusedError
from bench.core.files import write_atomic
from bench.core.job import Job
from bench.core.results import Outcome, Status
from bench.core.serving import Process
from bench.supervise import (
    Answer,
    Child,
    ChildError,
    Death,
    ProcessSpec,
    Supervisor,
    Ticket,
    variables_we_set,
    worker_environment,
)

Reply = Answer | ChildError | Death

#: Errors of a child that say something else than that it failed.
_STATUS_OF_ERROR: dict[str, Status] = {ExecutionUnavailable.__name__: "skipped", RefusedError.__name__: "refused"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One verb for one child."""

    child: Child
    verb: str
    body: dict[str, Any] = field(default_factory=dict)


#: So that no result hangs on one layout of memory or of dictionaries.
_DRAWN_PER_PROCESS = {"PYTHONHASHSEED", "DEPLOYBENCH_PADDING"}
_RANDOM = "drawn anew for each process"


def worker_variables(directory: Path, threads: int = 1) -> dict[str, str]:
    """The variables that every worker gets from us; of those that differ from process to process, only that they do."""
    environment = worker_environment(os.environ, threads, fallback_home=directory / "home", seed=0)
    variables = dict(variables_we_set(environment))
    return {name: _RANDOM if name in _DRAWN_PER_PROCESS else value for name, value in variables.items()}


class Crew:
    """Starts children for jobs and asks them, within one supervisor and one run directory."""

    def __init__(self, supervisor: Supervisor, run_dir: Path, *, width: int, deadline_s: float, seed: int) -> None:
        self._supervisor = supervisor
        self._run_dir = run_dir
        self._width = width
        self._deadline_s = deadline_s
        self._random = random.Random(seed)
        self._released: list[Child] = []

    @property
    def width(self) -> int:
        """How many children may work side by side while nothing is timed."""
        return self._width

    @property
    def has_private_networks(self) -> bool:
        """Whether children are kept apart from the host's network."""
        return self._supervisor.isolation == "namespace"

    def is_interrupted(self) -> bool:
        """Whether a signal has asked the run to stop."""
        return self._supervisor.interrupted_by is not None

    def heed_signals(self) -> None:
        """Raise Interrupted when a signal has come that nobody has been told of yet."""
        self._supervisor.gather(())

    def hire(
        self, job: Job, name: str, limits: Limits | None = None, *, network: Literal["private", "host"] = "private"
    ) -> Child:
        """Write the job's file and start its child; HostError when the child cannot be started or limited."""
        limits = limits or Limits(threads=self._width)
        job_path = self._run_dir / "jobs" / f"{name}.json"
        write_atomic(job_path, msgspec.json.format(msgspec.json.encode(job)))
        environment = worker_environment(
            os.environ,
            limits.threads,
            fallback_home=self._run_dir / "home",
            seed=self._random.getrandbits(32),
        )
        return self._supervisor.start(
            ProcessSpec(
                name=name,
                argv=(sys.executable, "-m", "bench.worker", str(job_path)),
                environment=environment,
                working_dir=self._run_dir,
                log_path=self._run_dir / "logs" / f"{name}.log",
                cpu_ids=limits.cpu_ids,
                memory_limit_bytes=limits.memory_limit_bytes,
                network=network,
            )
        )

    def start(self, process: Process, name: str, directory: Path, limits: Limits, client: Child) -> Child:
        """Start a process of a topology in the network of its client; HostError when it cannot be started or limited.

        Its memory is limited where it holds a model: a broker's or a balancer's is not the model's.
        """
        environment = worker_environment(
            os.environ, limits.threads, fallback_home=self._run_dir / "home", seed=self._random.getrandbits(32)
        )
        return self._supervisor.start(
            ProcessSpec(
                name=name,
                argv=process.argv,
                environment={**environment, **dict(process.environment)},
                working_dir=directory,
                log_path=self._run_dir / "logs" / f"{name}.log",
                cpu_ids=limits.cpu_ids,
                memory_limit_bytes=limits.memory_limit_bytes if process.role == "server" else None,
                speaks=False,
                network=client.spec.network,
                joins=client,
            )
        )

    def ask(self, child: Child, verb: str, body: dict[str, Any] | None = None, *, phases: int = 1) -> Reply:
        """Put one question and wait for its reply, as long as so many phases may take."""
        return self.ask_within(child, verb, body or {}, deadline_s=phases * self._deadline_s)

    def ask_within(self, child: Child, verb: str, body: dict[str, Any], *, deadline_s: float) -> Reply:
        """Put one question and wait for its reply, which may take so long."""
        ticket = self._supervisor.ask(child, verb, body, deadline_s=deadline_s)
        return self.await_some([ticket])[ticket]

    def post(self, question: Question) -> Ticket:
        """Put a question without waiting."""
        return self._supervisor.ask(question.child, question.verb, question.body, deadline_s=self._deadline_s)

    def await_some(self, tickets: Iterable[Ticket]) -> dict[Ticket, Reply]:
        """Sleep until at least one ticket has its reply."""
        return self._supervisor.gather(tickets, at_least=1)

    def ask_each(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Put questions, never more than `width` at a time, and yield (position, reply) as replies come in."""
        waiting = deque(enumerate(questions))
        pending: dict[Ticket, int] = {}
        while waiting or pending:
            while waiting and len(pending) < self._width:
                position, question = waiting.popleft()
                pending[self.post(question)] = position
            for ticket, reply in self.await_some(pending).items():
                yield pending.pop(ticket), reply

    def dismiss(self, children: Iterable[Child], *, grace_s: float = 2.0) -> None:
        """End children and their whole trees."""
        self._supervisor.stop_all(list(children), grace_s=grace_s)

    def release(self, children: Iterable[Child]) -> None:
        """Let children end while the next ones start: a framework takes a tenth of a second to be unmapped."""
        for child in children:
            self._supervisor.release(child)
            self._released.append(child)

    def await_released(self) -> None:
        """Return when nothing of the released children is left: before anything is timed."""
        self.dismiss(self._released)
        self._released.clear()


def outcome_of(reply: ChildError | Death) -> Outcome:
    """A reply that is no answer, as the cell's outcome in words."""
    if isinstance(reply, ChildError):
        return Outcome(
            status=_STATUS_OF_ERROR.get(reply.type, reply.status),
            reason=reply.message,
            hint=reply.hint,
            culprit=reply.culprit,
            phase=reply.phase,
            log_tail=reply.traceback[-2000:],
        )
    status = "failed" if reply.status == "ok" else reply.status
    return Outcome(status=status, reason=reply.reason, culprit="target", phase=reply.phase, log_tail=reply.log_tail)


def outcome_of_error(error: BenchError, *, phase: str) -> Outcome:
    """An error of our own while a cell was in hand, as the cell's outcome."""
    status: Status = "failed"
    if isinstance(error, RefusedError):
        status = "refused"
    elif isinstance(error, ExecutionUnavailable):
        status = "skipped"
    return Outcome(
        status=status,
        reason=error.message,
        hint=error.hint or "",
        culprit=error.culprit,
        phase=phase,
    )
