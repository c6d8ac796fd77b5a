"""A drive within this process: what surrounds the loop, and the columns made of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.core.collector import collector_paused

from .driver import send_as_planned
from .record import SAMPLE_BUDGET_BYTES, Drive, Facts, Record, Sample
from .schedule import Arrivals, inputs_in_turn, offsets_ns
from .transport import Transport

#: Connections that are open before the first request: so many that each is used about once a second, which keeps a
#: server from closing it for want of use, and no more than a server of threads can bear.
_MOST_OPENED_AHEAD = 64
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The requests of a plan that one of `parts` processes sends: every `parts`-th from number `turn` on.

    `start_ns` gives, once the connections are open, when the plan starts; None starts it after the transport's lead.
    """

    turn: int = 0
    parts: int = 1
    start_ns: Callable[[], int] | None = None


def drive_part(
    transport: Transport,
    payloads: int,
    arrivals: Arrivals,
    *,
    timeout_s: float,
    keep_every: int,
    input_seed: int,
    part: Part = Part(),
) -> Drive:
    """Send this process's part of a plan of `arrivals` and return when its last request has ended."""
    offsets = offsets_ns(arrivals)
    inputs = inputs_in_turn(len(offsets), payloads, input_seed)[part.turn :: part.parts].tolist()
    offsets = offsets[part.turn :: part.parts]
    record = Record(
        timeout_ns=round(timeout_s * 1e9), keep_every=keep_every, budget_bytes=SAMPLE_BUDGET_BYTES // part.parts
    )
    per_s = len(offsets) / max(float(offsets[-1]) / 1e9, 1.0) if len(offsets) else 0.0
    with running(transport, record, connections=max(1, min(_MOST_OPENED_AHEAD, round(per_s)))) as cost:
        start_ns = part.start_ns() if part.start_ns else transport.now_ns() + transport.lead_ns(len(inputs))
        record.plan((offsets + start_ns).tolist(), inputs)
        cost.start()
        send_as_planned(transport, record)
    return finished(transport, record, cost)


class Cost:
    """What this process spends between `start` and `stop`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._opened = transport.traffic()
        self.start()

    def start(self) -> None:
        """From here on; connections and bytes count from the beginning."""
        self._started_ns, self._cpu_s, self._delay_s = time.perf_counter_ns(), time.process_time(), _run_delay_s()

    def stop(self) -> None:
        """Up to here."""
        before, after = self._opened, self._transport.traffic()
        self.facts = Facts(
            cpu_s=time.process_time() - self._cpu_s,
            wall_s=(time.perf_counter_ns() - self._started_ns) / 1e9,
            run_delay_s=_run_delay_s() - self._delay_s,
            connections_opened=after.connections_opened - before.connections_opened,
            bytes_sent=after.bytes_sent - before.bytes_sent,
            bytes_received=after.bytes_received - before.bytes_received,
            unsolicited=after.unsolicited - before.unsolicited,
        )


@contextmanager
def running(transport: Transport, record: Record, *, connections: int) -> Iterator[Cost]:
    """The surroundings of a loop: connections open, the collector at rest, and its cost taken at the end."""
    cost = Cost(transport)
    gc.collect()  # what is garbage now would stay until the end
    with transport.running(record, connections), collector_paused():
        yield cost
        cost.stop()


def finished(transport: Transport, record: Record, cost: Cost) -> Drive:
    """What the record holds, as columns, with the kept answers decoded as far as the protocol goes."""
    samples = []
    for answer in sorted(record.kept, key=lambda answer: answer.request):
        body, headers = transport.opened(answer)
        position = answer.request
        samples.append(Sample(position=position, input=record.input[position], body=body, headers=headers))
    return Drive(requests=record.requests(), samples=tuple(samples), facts=cost.facts)


def _run_delay_s() -> float:
    """How long this thread has waited for a core so far; 0 where the kernel does not tell."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
