"""The only place that starts, limits, times out and kills processes: one select loop, no threads."""

from __future__ import annotations

import ctypes
import secrets
import selectors
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bench.core.cell import Limits
from bench.core.errors import HostError, Interrupted
from bench.limits import orders, require

from .child import Child
from .interrupts import SignalWatch
from .leftovers import AliveJournal, sweep
from .log import CappedLog
from .messages import Death, Isolation, Outcome, ProcessSpec, Ticket
from .spawn import Network, launch, namespace_blocker, network_of

_START_S = 30.0
_EXIT_GRACE_S = 1.0
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37  # linux/prctl.h


class Supervisor:
    """Runs children as process trees of their own; when the `with` block is left, nothing that it started is alive.

    `isolation` is what is really used and `isolation_reason` why it is not more; `swept` names the children of an
    earlier, killed run in the same directory of which something was still alive. One supervisor at a time, in the
    main thread: signals arrive there, and the kernel ends children with the thread that started them.
    """

    def __init__(self, run_dir: Path, *, isolation: Literal["auto", "namespace", "group"] = "auto") -> None:
        if sys.platform != "linux":
            raise HostError(f"supervision needs Linux, this is {sys.platform}")
        self.isolation, self.isolation_reason = _choose(isolation)
        self.swept: tuple[str, ...] = ()
        self._run_dir = run_dir
        self._living: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._signals = SignalWatch()
        self._reported_signals = 0
        self._journal = AliveJournal(run_dir / "alive.jsonl")
        self._was_subreaper = False

    def __enter__(self) -> Self:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self.swept = sweep(self._run_dir / "alive.jsonl")
        shutil.rmtree(self._run_dir / "tmp", ignore_errors=True)
        self._selector.register(self._signals.open(), selectors.EVENT_READ, self._signals.drain)
        self._was_subreaper = _subreaper()
        _set_subreaper(True)  # what loses its parent becomes our child, and so can be found and reaped
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for child in self._living:
                child.leave(_EXIT_GRACE_S)
            self._turn_until(lambda: not self._living)
        finally:
            _set_subreaper(self._was_subreaper)
            self._signals.close()
            self._selector.close()
            self._journal.close()
            shutil.rmtree(self._run_dir / "tmp", ignore_errors=True)
        if error is None:
            self._raise_interrupt()

    @property
    def interrupted_by(self) -> int | None:
        """The first signal that asked the run to stop, None when none did; never raises."""
        self._signals.drain()
        return self._signals.seen[0] if self._signals.seen else None

    def start(self, spec: ProcessSpec) -> Child:
        """Start a process under its limits and read them back; HostError when it cannot be started or limited.

        Returns once the program runs, some 30 ms later; its own start-up counts towards its first question.
        """
        limits = Limits(cpu_ids=spec.cpu_ids, memory_limit_bytes=spec.memory_limit_bytes)
        nonce = secrets.token_hex(8)
        log = CappedLog(spec.log_path)
        temporary_dir = self._run_dir / "tmp" / nonce
        temporary_dir.mkdir(parents=True)
        self._journal.starts(nonce, spec.name)
        try:
            with self._network(spec) as network:
                launched = launch(
                    argv=spec.argv,
                    environment={**spec.environment, "TMPDIR": str(temporary_dir.resolve())},
                    working_dir=spec.working_dir,
                    orders=orders(limits),
                    nonce=nonce,
                    isolation=self.isolation,
                    speaks=spec.speaks,
                    network=network,
                )
        except HostError:
            log.close()
            self._journal.ended(nonce)
            raise
        child = Child(spec, launched, nonce=nonce, log=log, temporary_dir=temporary_dir, selector=self._selector)
        self._living.append(child)
        self._await_start(child, limits)
        return child

    def ask(self, child: Child, verb: str, body: Mapping[str, Any], *, deadline_s: float) -> Ticket:
        """Put a question; returns at once. A dead child's ticket is answered by its death."""
        return child.ask(verb, body, deadline_s)

    def gather(self, tickets: Iterable[Ticket], *, at_least: int | None = None) -> dict[Ticket, Outcome]:
        """Sleep until every ticket, or `at_least` so many, is answered or its child is dead; gives those that are.

        Each ticket can be exchanged once.

        Raises Interrupted at the first SIGINT, SIGTERM or SIGHUP: children and tickets live on, and gathering again
        finishes what was under way. A second signal kills all children at once and raises again.
        """
        wanted = list(dict.fromkeys(tickets))
        enough = len(wanted) if at_least is None else min(at_least, len(wanted))
        self._turn(0.0)
        while True:
            self._raise_interrupt()
            settled = [ticket for ticket in wanted if ticket.child.has_outcome(ticket.seq)]
            if len(settled) >= enough:
                return {ticket: ticket.child.take(ticket.seq) for ticket in settled}
            self._turn()

    def stop(self, child: Child, *, grace_s: float = 2.0) -> Death:
        """Ask the child to leave by closing its channel, then make it; returns when its whole tree is gone."""
        self.stop_all([child], grace_s=grace_s)
        assert child.death is not None  # noqa: S101  the line above waits for it
        return child.death

    def release(self, child: Child, *, grace_s: float = 2.0) -> None:
        """`stop` without waiting: the child ends while others are listened to; `stop_all` waits for it."""
        child.leave(grace_s)

    def stop_all(self, children: Sequence[Child], *, grace_s: float = 2.0) -> None:
        """`stop` for several children side by side: unmapping a framework takes each of them a while."""
        for child in children:
            child.leave(grace_s)
        self._turn_until(lambda: all(child.death is not None for child in children))

    def _network(self, spec: ProcessSpec) -> AbstractContextManager[Network]:
        if spec.joins is not None and spec.network == "private" and self.isolation == "namespace":
            return network_of(spec.joins.pid)
        return nullcontext(Network(kind=spec.network))

    def _await_start(self, child: Child, limits: Limits) -> None:
        give_up_at = time.monotonic() + _START_S
        while not child.running and child.death is None:
            self._turn(max(0.0, give_up_at - time.monotonic()))
            if time.monotonic() >= give_up_at:
                child.kill(f"its launcher did not get it running within {_START_S:g} s")
        if not child.running and child.death is not None:
            why = child.launch_problem or child.death.reason
            raise HostError(f"{child.spec.name} cannot be started: {why}", hint=f"see {child.spec.log_path}")
        try:
            require(limits, child.pid)
        except ProcessLookupError:  # it has ended already; whoever asks it is told how
            return
        except HostError:
            child.kill("its limits were not granted")
            self._turn_until(lambda: child.death is not None)
            raise

    def _turn_until(self, done: Callable[[], bool]) -> None:
        while not done():
            if len(self._signals.seen) > 1:
                self._kill_all()
            self._turn()

    def _turn(self, at_most_s: float | None = None) -> None:
        """One turn of the loop: sleep until something arrives or a deadline passes, and deal with it."""
        wakes_at = min((child.wakes_at for child in self._living), default=float("inf"))
        sleep_s = max(0.0, wakes_at - time.monotonic())
        if at_most_s is not None:
            sleep_s = min(sleep_s, at_most_s)
        for key, _ in self._selector.select(None if sleep_s == float("inf") else sleep_s):
            if key.fd in self._selector.get_map():  # an earlier event of this turn may have ended its child
                key.data()
        now = time.monotonic()
        for child in list(self._living):
            child.tick(now)  # after all that has arrived was read: an answer in time counts, however late we look
            if child.death is not None:
                self._living.remove(child)
                if not child.abandoned:
                    self._journal.ended(child.nonce)

    def _raise_interrupt(self) -> None:
        seen = self._signals.seen
        if len(seen) > self._reported_signals:
            self._reported_signals = len(seen)
            if len(seen) > 1:
                self._kill_all()
                self._turn_until(lambda: not self._living)
            raise Interrupted(seen[0])

    def _kill_all(self) -> None:
        for child in self._living:
            child.kill("killed, as the run was interrupted twice")


def _choose(wanted: Literal["auto", "namespace", "group"]) -> tuple[Isolation, str]:
    if wanted == "group":
        return "group", "asked for"
    blocker = namespace_blocker()
    if not blocker:
        return "namespace", ""
    if wanted == "namespace":
        raise HostError(f"namespaces cannot be used here: {blocker}", hint="bench doctor")
    return "group", f"namespaces cannot be used here: {blocker}"


def _subreaper() -> bool:
    held = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(held), 0, 0, 0)
    return bool(held.value)


def _set_subreaper(held: bool) -> None:  # noqa: FBT001  a setter of one flag
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(held), 0, 0, 0)
