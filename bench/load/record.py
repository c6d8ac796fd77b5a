"""What a drive remembers: while it runs, plain lists that cost a store each; afterwards the columns everybody reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.requests import TIMED_OUT, UNSENT, Requests

if TYPE_CHECKING:
    import numpy as np

    from bench.core.requests import Ints

STAMPS = 7  # the numbers of `bench.core.serving.Stamps`
_MAX_DIGITS = 18  # of a number that surely fits 64 bits
SAMPLE_BUDGET_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One answer that was kept whole: `position` is its request's row, `input` the payload's number.

    `body` is what the encoding's `decode_response` reads: decompressed, and without gRPC's framing. Header names are in
    lower case.
    """

    position: int
    input: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the drive cost its own side, summed over its processes; `wall_s` is from the first plan to the last ending.

    `cpu_s` includes the spinning before each request is due, so a full core alone does not mean that the client was
    too slow: late sending does. `run_delay_s` is time in which the client could have run and had no core.
    `unsolicited`: answers that nobody had asked for, duplicates among them; their connection was closed.
    """

    cpu_s: float
    wall_s: float
    run_delay_s: float
    connections_opened: int
    bytes_sent: int
    bytes_received: int
    unsolicited: int = 0
    processes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """All requests of one drive, the sampled answers in order of position, and what it cost the client."""

    requests: Requests
    samples: tuple[Sample, ...]
    facts: Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class RawAnswer:
    """A kept answer as it came: decoding it would take time from the requests that are due meanwhile."""

    request: int
    heads: Sequence[bytes]
    pieces: Sequence[bytes]


class Record:
    """The columns while they grow. Transports call `finish` once for every request that they took."""

    def __init__(self, *, timeout_ns: int = 0, keep_every: int = 0, budget_bytes: int = SAMPLE_BUDGET_BYTES) -> None:
        self.timeout_ns = timeout_ns
        self.planned_ns: list[int] = []
        self.sent_ns: list[int] = []
        self.done_ns: list[int] = []
        self.status: list[int] = []
        self.input: list[int] = []
        self.stamps: dict[int, bytes] = {}
        self.kept: list[RawAnswer] = []
        self.finished = 0
        self.unanswered = 0  # those of the finished that found no server, or none that speaks the protocol
        self._keep_every = keep_every
        self._budget_bytes = budget_bytes

    def plan(self, planned_ns: list[int], inputs: list[int]) -> None:
        """Make room for requests whose time and payload are known beforehand."""
        self.planned_ns, self.input = planned_ns, inputs
        count = len(planned_ns)
        self.sent_ns, self.done_ns, self.status = [0] * count, [0] * count, [0] * count

    def add(self, now_ns: int, payload: int) -> None:
        """Make room for one more, due and sent now."""
        self.planned_ns.append(now_ns)
        self.input.append(payload)
        self.sent_ns.append(now_ns)
        self.done_ns.append(0)
        self.status.append(0)

    def withdraw(self) -> None:
        """Take back the one that was added last, for it could not be sent."""
        for column in (self.planned_ns, self.input, self.sent_ns, self.done_ns, self.status):
            column.pop()

    def finish(self, request: int, status: int, done_ns: int, stamps: bytes = b"") -> None:
        """How and when it ended; `stamps` is the text of the server's header, read only after the drive."""
        self.done_ns[request] = done_ns
        self.status[request] = status
        self.finished += 1
        if status < TIMED_OUT:
            self.unanswered += 1
        if stamps:
            self.stamps[request] = stamps

    def wants(self, request: int) -> bool:
        """Whether the answer to this request is to be kept."""
        return self._keep_every > 0 and request % self._keep_every == 0 and self._budget_bytes > 0

    def keep(self, request: int, heads: Sequence[bytes], pieces: Sequence[bytes]) -> None:
        """Keep an answer; the one that exhausts the budget is the last."""
        if self._budget_bytes <= 0:
            return
        self._budget_bytes -= sum(map(len, heads)) + sum(map(len, pieces))
        self.kept.append(RawAnswer(request=request, heads=heads, pieces=pieces))

    def requests(self) -> Requests:
        """The columns, in order of planned time. What ended after its time-out has timed out, whoever was late."""
        import numpy as np

        planned, sent, done, status, inputs = (
            np.array(column, dtype=np.int64)
            for column in (self.planned_ns, self.sent_ns, self.done_ns, self.status, self.input)
        )
        deadline = planned + self.timeout_ns
        late = done > deadline
        return Requests(
            planned_ns=planned,
            sent_ns=sent,
            done_ns=np.where(late, deadline, done),
            status=np.where(late & (status != UNSENT), TIMED_OUT, status),
            input=inputs,
            verdict=np.full(len(planned), -1, dtype=np.int64),
            stamps=_stamp_columns(self.stamps, len(planned)),
        )


def merge(drives: Sequence[Drive]) -> Drive:
    """One drive of several whose requests took turns in one plan: row i of drive k becomes row i * drives + k."""
    import numpy as np

    count = sum(len(drive.requests.planned_ns) for drive in drives)
    columns: dict[str, np.ndarray] = {}
    for name in ("planned_ns", "sent_ns", "done_ns", "status", "input", "verdict", "stamps"):
        parts = [getattr(drive.requests, name) for drive in drives]
        columns[name] = np.zeros((count, *parts[0].shape[1:]), dtype=np.int64)
        for turn, part in enumerate(parts):
            columns[name][turn :: len(drives)] = part
    facts = [drive.facts for drive in drives]
    samples = [
        Sample(
            position=sample.position * len(drives) + turn,
            input=sample.input,
            body=sample.body,
            headers=sample.headers,
        )
        for turn, drive in enumerate(drives)
        for sample in drive.samples
    ]
    return Drive(
        requests=Requests(**columns),
        samples=tuple(sorted(samples, key=lambda sample: sample.position)),
        facts=Facts(
            cpu_s=sum(fact.cpu_s for fact in facts),
            wall_s=max(fact.wall_s for fact in facts),
            run_delay_s=sum(fact.run_delay_s for fact in facts),
            connections_opened=sum(fact.connections_opened for fact in facts),
            bytes_sent=sum(fact.bytes_sent for fact in facts),
            bytes_received=sum(fact.bytes_received for fact in facts),
            unsolicited=sum(fact.unsolicited for fact in facts),
            processes=sum(fact.processes for fact in facts),
        ),
    )


def _stamp_columns(texts: Mapping[int, bytes], count: int) -> Ints:
    """Seven numbers a row; zeros where none came or where what came is not seven numbers."""
    import numpy as np

    columns = np.zeros((count, STAMPS), dtype=np.int64)
    for request, text in texts.items():
        words = text.split(b",")
        if len(words) == STAMPS and all(word.strip().isdigit() and len(word) <= _MAX_DIGITS for word in words):
            columns[request] = [int(word) for word in words]
    return columns
