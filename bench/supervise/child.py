"""One supervised process tree: what it said, what it still owes, and how it is brought to its end."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from bench.core.units import format_bytes

from .channel import GarbageError, LineChannel
from .leftovers import kill_marked, reap
from .log import CappedLog
from .messages import Answer, ChildError, Death, DeathStatus, Outcome, ProcessSpec, Ticket
from .spawn import Launched
from .verdict import Evidence, is_about_memory, judge, kernel_memory_kills

_PACKET_BYTES = 1 << 16
_LOG_READ_BYTES = 256 << 10
_LOG_READS_AT_END = 8  # a pipe holds at most 1 MiB; whoever writes on after the end is not listened to
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid; see unix(7)


class _Rung(IntEnum):
    """The ladder to a child's end; each rung is given its time, then the next is taken."""

    LIVING = 0
    LEAVING = 1  # its channel is closed, it should leave by itself
    DUMPING = 2  # SIGUSR1: the stacks go to the log
    TERMINATING = 3  # SIGTERM
    KILLING = 4  # SIGKILL to all of its tree, by its tender
    FORCING = 5  # the tender itself did not answer: the supervisor kills all that carries the child's mark
    ABANDONED = 6  # stuck inside the kernel


_PATIENCE_S = {_Rung.LEAVING: 2.0, _Rung.DUMPING: 0.5, _Rung.TERMINATING: 2.0, _Rung.KILLING: 5.0, _Rung.FORCING: 5.0}


class Child:
    """A started process; `pid` is the payload's as the runner sees it. Only the supervisor calls its methods."""

    def __init__(
        self,
        spec: ProcessSpec,
        launched: Launched,
        *,
        nonce: str,
        log: CappedLog,
        temporary_dir: Path,
        selector: selectors.BaseSelector,
    ) -> None:
        self.spec = spec
        self.pid = 0
        self.hello: dict[str, Any] = {}
        self.phase = "start" if spec.speaks else "service"
        self.death: Death | None = None
        self.running = False
        self.abandoned = False  # it did not even end when killed
        self.launch_problem = ""
        self.nonce = nonce
        self._launched = launched
        self._temporary_dir = temporary_dir
        self._selector = selector
        self._channel = LineChannel(launched.result)
        self._log = log
        self._asked = 0
        self._deadlines: dict[int, tuple[float, str]] = {}  # seq -> monotonic seconds, what to say then
        self._outcomes: dict[int, Outcome] = {}
        self._rung = _Rung.LIVING
        self._next_rung_at = float("inf")
        self._sentence: tuple[DeathStatus, str] | None = None
        self._asked_to_leave = False
        self._wait_status: int | None = None
        self._peak_bytes = 0
        self._memory_kills_before = kernel_memory_kills()
        self._watch(launched.control, selectors.EVENT_READ, self._on_control)
        self._watch(launched.result, selectors.EVENT_READ, self._on_result)
        self._watch(launched.log_reader, selectors.EVENT_READ, self._on_log)
        self._watch(launched.pidfd, selectors.EVENT_READ, self._on_end)

    # ------------------------------------------------------------------------------------------- questions and answers

    def ask(self, verb: str, body: Mapping[str, Any], deadline_s: float) -> Ticket:
        """Queue a question."""
        self._asked += 1
        if self.death is None:
            self._channel.send({**body, "seq": self._asked, "ask": verb})
            if not self._deadlines:
                self.phase = verb
            deadline = time.monotonic() + deadline_s
            self._deadlines[self._asked] = (deadline, f"{verb} did not end within {deadline_s:g} s")
            self._watch_result()
        return Ticket(child=self, seq=self._asked)

    def has_outcome(self, seq: int) -> bool:
        """Whether a question is answered, or never will be."""
        if seq in self._outcomes or self.death is not None:
            return True
        if seq not in self._deadlines:
            raise ValueError(f"ticket {seq} of {self.spec.name} was never given out, or has been exchanged already")
        return False

    def take(self, seq: int) -> Outcome:
        """The outcome of a question, once."""
        outcome = self._outcomes.pop(seq, None) or self.death
        assert outcome is not None, "has_outcome was not asked first"  # noqa: S101
        return outcome

    def _hear(self, message: dict[str, Any]) -> None:
        if not self.hello:
            if message.get("hello") != self.nonce:
                raise GarbageError("spoke before it said hello with its nonce")
            self.hello = message
        elif "phase" in message:
            self.phase = str(message["phase"])
        else:
            self._hear_answer(message)

    def _hear_answer(self, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        if not isinstance(seq, int) or seq not in self._deadlines:
            raise GarbageError(f"answered a question that was not asked (seq {seq!r})")
        if isinstance(message.get("ok"), dict):
            self._outcomes[seq] = Answer(body=message["ok"])
        elif isinstance(message.get("error"), dict):
            self._outcomes[seq] = self._error({key: str(value) for key, value in message["error"].items()})
        else:
            raise GarbageError("answered with neither ok nor error")
        del self._deadlines[seq]

    def _error(self, error: dict[str, str]) -> ChildError:
        name, text = error.get("type", ""), error.get("message", "")
        no_memory = name == "MemoryError" or (self.spec.memory_limit_bytes is not None and is_about_memory(text))
        if no_memory and self.spec.memory_limit_bytes is not None:
            limit = format_bytes(self.spec.memory_limit_bytes)
            text = f"out of memory in {self.phase}: limit {limit} of address space: {text}"
        return ChildError(
            type=name,
            message=text,
            status="oom" if no_memory else "failed",
            hint=error.get("hint", ""),
            culprit=error.get("culprit", "target"),
            traceback=error.get("traceback", ""),
            phase=self.phase,
        )

    # ------------------------------------------------------------------------------------------------- the way down

    @property
    def wakes_at(self) -> float:
        """Monotonic seconds at which `tick` has something to do."""
        if self._rung is _Rung.LIVING:
            return min((at for at, _ in self._deadlines.values()), default=float("inf"))
        return self._next_rung_at

    def tick(self, now: float) -> None:
        """Condemn a child whose deadline has passed; go one rung down when the present one had its time."""
        if self.death is not None or now < self.wakes_at:
            return
        if self._rung is _Rung.LIVING:
            self.condemn("timeout", min(self._deadlines.values())[1], _Rung.DUMPING)
        elif self._rung is _Rung.LEAVING:
            self.condemn("timeout", "did not leave when its channel was closed", _Rung.DUMPING)
        else:
            self._go_to(_Rung(self._rung + 1))

    def condemn(self, status: DeathStatus, reason: str, rung: _Rung) -> None:
        """Decide how the child's death will be told, and begin to bring it about."""
        if self._sentence is None:
            self._sentence = (status, f"{reason} (in {self.phase})" if self.phase not in reason else reason)
        self._go_to(rung)

    def leave(self, grace_s: float) -> None:
        """Ask it to leave by itself: by closing its channel, or by SIGTERM where it has none."""
        if self._rung is not _Rung.LIVING:
            return
        self._asked_to_leave = True
        if self.spec.speaks:
            self._rung = _Rung.LEAVING
            self._channel.hang_up()
        else:
            self._rung = _Rung.TERMINATING
            self._order(signal.SIGTERM)
            self._order(signal.SIGCONT)  # one that was stopped would not hear of it
        self._next_rung_at = time.monotonic() + grace_s

    def kill(self, reason: str) -> None:
        """End it now."""
        if self._rung < _Rung.KILLING:
            self.condemn("cancelled", reason, _Rung.KILLING)

    def _go_to(self, rung: _Rung) -> None:
        if rung <= self._rung:
            return
        self._rung, self._next_rung_at = rung, time.monotonic() + _PATIENCE_S.get(rung, float("inf"))
        if rung is _Rung.DUMPING:
            self._order(signal.SIGUSR1)
        elif rung is _Rung.TERMINATING:
            self._order(signal.SIGTERM)
        elif rung is _Rung.KILLING:
            self._order(signal.SIGKILL)
        elif rung is _Rung.FORCING:
            kill_marked(self.nonce)
        elif rung is _Rung.ABANDONED:
            self.abandoned = True
            self._finish()

    def _order(self, number: int) -> None:
        """Let the tender, which alone can name the payload safely, pass on a signal."""
        try:
            self._launched.control.send(bytes([number]))
        except OSError:  # it has ended; the pidfd tells
            return

    # -------------------------------------------------------------------------------------------------- what arrives

    def _watch(self, file: socket.socket | int, events: int, action: Callable[[], None]) -> None:
        self._selector.register(file, events, action)

    def _watch_result(self) -> None:
        """Listen for room to write only while something waits to be written."""
        if self._channel.closed:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._channel.wants_to_write else 0)
        if self._selector.get_key(self._launched.result).events != events:
            self._selector.modify(self._launched.result, events, self._on_result)

    def _on_control(self) -> None:
        while packet := self._receive_packet():
            data, sender = packet
            message = json.loads(data)
            if "ready" in message:
                self.pid = sender
            elif "running" in message:
                self.running = True
            elif "error" in message:
                self.launch_problem = str(message["error"])
            elif "exit" in message:
                self._wait_status, self._peak_bytes = message["exit"], message["peak_bytes"]
                self._go_to(_Rung.KILLING)  # what it left behind

    def _receive_packet(self) -> tuple[bytes, int] | None:
        """One packet and its sender's process id; None when there is none now, or none will come."""
        control = self._launched.control
        try:
            data, ancillary, _, _ = control.recvmsg(
                _PACKET_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return None
        except ConnectionError:
            data, ancillary = b"", []
        if not data:
            self._unwatch(control)
            return None
        sender = next(
            (_CREDENTIALS.unpack(content)[0] for _, kind, content in ancillary if kind == socket.SCM_CREDENTIALS), 0
        )
        return data, sender

    def _on_result(self) -> None:
        self._channel.flush()
        try:
            for message in self._channel.receive():
                if self._sentence is None:  # an answer after the deadline is no answer
                    self._hear(message)
        except GarbageError as error:
            self.condemn("failed", f"in {self.phase}: {error}", _Rung.TERMINATING)
        if not self._channel.closed:
            self._watch_result()
            return
        self._unwatch(self._launched.result)
        if self.spec.speaks and self._rung is _Rung.LIVING and self._wait_status is None:
            self._go_to(_Rung.LEAVING)

    def _on_log(self) -> None:
        data = self._read_log()
        if data == b"":
            self._unwatch(self._launched.log_reader)

    def _read_log(self) -> bytes | None:
        """What was printed, already kept; empty at the end, None when there is nothing now."""
        try:
            data = os.read(self._launched.log_reader, _LOG_READ_BYTES)
        except BlockingIOError:
            return None
        self._log.write(data)
        return data

    def _on_end(self) -> None:
        """The launcher has ended, and in the order of things all of its tree before it."""
        self._on_control()
        self._on_result()
        for _ in range(_LOG_READS_AT_END):
            if not self._read_log():
                break
        self._launched.process.wait()
        if self._wait_status is None:  # the launcher was killed, by us or by somebody else: look for what it left
            killed = kill_marked(self.nonce)
            reap([*killed, self.pid], session=self.pid)
        self._finish()

    def _finish(self) -> None:
        for file in (self._launched.control, self._launched.result, self._launched.log_reader, self._launched.pidfd):
            self._unwatch(file)
            os.close(file) if isinstance(file, int) else file.close()
        shutil.rmtree(self._temporary_dir, ignore_errors=True)  # what resists is removed when the run is resumed
        self.death = judge(
            Evidence(
                wait_status=self._wait_status,
                phase=self.phase,
                log_tail=self._log.close(),
                sentence=self._sentence,
                was_asked_to_leave=self._asked_to_leave,
                is_stuck=self.abandoned,
                memory_limit_bytes=self.spec.memory_limit_bytes,
                peak_bytes=self._peak_bytes,
                kernel_ended_one_for_memory=kernel_memory_kills() > self._memory_kills_before,
            )
        )

    def _unwatch(self, file: socket.socket | int) -> None:
        try:
            self._selector.unregister(file)
        except KeyError:  # already
            return
