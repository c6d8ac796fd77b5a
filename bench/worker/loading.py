"""The client of a served cell: waits for the server, asks who it is, puts loads on it, and looks at the answers.

It never imports a framework. What was recorded of a load goes into a file; only totals go to the parent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.core.errors import BenchError, TargetError
from bench.core.job import LoadJob
from bench.core.requests import OK_GRPC, OK_HTTP, write_requests
from bench.core.serving import Endpoint, Probe
from bench.load import Arrivals, Drive, Sample, drive_closed, drive_open, open_target
from bench.measure.fidelity import compare_outputs
from bench.wire import Encoding, WireError, encoding
from bench.zoo.inputs import read_pool

from .probing import identity, probe_for
from .protocol import Answer, Say

if TYPE_CHECKING:
    from bench.core.contracts import Batch

    Expected = Mapping[int, Mapping[str, Any]]

_NICENESS = -10
_SHOWN_CHARS = 200


class LoadPerformer:
    """Answers probe, aim, identify, check, expect, closed and open."""

    def __init__(self, job: LoadJob) -> None:
        _go_first()
        self._job = job
        self._pool: Sequence[Batch] = read_pool(Path(job.pool_path))
        self._endpoint: Endpoint | None = None
        self._expected: Expected = {}

    def ask(self, verb: str, body: Mapping[str, Any], say: Say) -> Answer:
        """Do one verb."""
        verbs: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "probe": self._probe,
            "aim": self._aim,
            "identify": self._identify,
            "check": self._check,
            "expect": self._expect,
            "closed": self._closed,
            "open": self._open,
        }
        say(verb)
        return verbs[verb](body)

    def _probe(self, body: Mapping[str, Any]) -> Answer:
        """Whether a process is ready, looked at for so many seconds; `seen` is empty when it is."""
        return {"seen": probe_for(msgspec.convert(body["probe"], Probe), body["seconds"])}

    def _aim(self, body: Mapping[str, Any]) -> Answer:
        """Whom all further verbs talk to; every input is encoded once, here."""
        self._endpoint = msgspec.convert(body["endpoint"], Endpoint)
        code = encoding(self._endpoint.encoding)
        outputs = self._job.artifact.outputs
        self._payloads = [code.encode_request(self._endpoint.model, batch, outputs) for batch in self._pool]
        return {"inputs": len(self._pool), "request_bytes": [len(payload.body) for payload in self._payloads]}

    def _identify(self, body: Mapping[str, Any]) -> Answer:
        return {"identity": identity(self._aimed())}

    def _check(self, body: Mapping[str, Any]) -> Answer:
        """The answers to every input, twice, in the form in which workers write outputs."""
        count = len(self._payloads)
        drive = self._drive_closed(
            concurrency=1,
            inputs=[*range(count), *range(count)],
            max_requests=2 * count,
            keep_every=1,
            duration_s=body["at_most_s"],
            timeout_s=body["at_most_s"],
        )
        answers = {sample.position: self._decoded(sample) for sample in _all_good(drive)}
        if len(drive.requests.status) < 2 * count:
            raise TargetError(
                f"only {len(drive.requests.status)} of {2 * count} requests were answered within"
                f" {body['at_most_s']:g} s",
                hint="raise measurement.phase_deadline_s, or lower input_pool",
            )
        if len(answers) < 2 * count:
            raise TargetError(
                f"only {len(answers)} of {2 * count} answers could be kept: they are too large to check",
                hint="lower measurement.input_pool",
            )
        arrays = {
            f"{run}/{position}/{name}": values
            for start, run in ((0, "first"), (count, "second"))
            for position in range(count)
            for name, values in answers[start + position].items()
        }
        with open(body["outputs_path"], "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stub takes one of our keys for allow_pickle
        return {"sent": 2 * count}

    def _expect(self, body: Mapping[str, Any]) -> Answer:
        """What the model answers in process, for comparison with what comes under load."""
        expected: dict[int, dict[str, Any]] = {}
        with np.load(body["outputs_path"], allow_pickle=False) as stored:
            for key in stored.files:
                run, position, name = key.split("/", 2)
                if run == "first":
                    expected.setdefault(int(position), {})[name] = stored[key]
        self._expected = expected
        return {"inputs": len(expected)}

    def _closed(self, body: Mapping[str, Any]) -> Answer:
        return self._told(
            self._drive_closed(
                concurrency=body["concurrency"],
                inputs=body.get("inputs"),
                max_requests=body.get("max_requests"),
                duration_s=body["duration_s"],
                timeout_s=body["timeout_s"],
                keep_every=body.get("keep_every", 0),
            ),
            body,
        )

    def _open(self, body: Mapping[str, Any]) -> Answer:
        arrivals = msgspec.convert(body["arrivals"], Arrivals)
        with open_target(self._aimed(), self._payloads, max_connections=body["max_connections"]) as target:
            drive = drive_open(
                target,
                arrivals,
                timeout_s=body["timeout_s"],
                keep_every=body["keep_every"],
                input_seed=body["input_seed"],
                processes=body["processes"],
            )
        return self._told(drive, body)

    def _drive_closed(
        self,
        *,
        concurrency: int,
        inputs: Sequence[int] | None,
        max_requests: int | None,
        keep_every: int,
        duration_s: float,
        timeout_s: float,
    ) -> Drive:
        with open_target(self._aimed(), self._payloads) as target:
            return drive_closed(
                target,
                concurrency=concurrency,
                duration_s=duration_s,
                timeout_s=timeout_s,
                keep_every=keep_every,
                inputs=inputs,
                max_requests=max_requests,
            )

    def _told(self, drive: Drive, body: Mapping[str, Any]) -> Answer:
        """Write the requests, judge the sampled answers, and say what the parent cannot read from the file."""
        requests = drive.requests
        problems: list[str] = []
        for sample in drive.samples:
            if not _is_good(int(requests.status[sample.position])) or sample.input not in self._expected:
                continue
            problem = self._problem(sample)
            requests.verdict[sample.position] = int(not problem)
            if problem:
                problems.append(problem)
        write_requests(Path(body["requests_path"]), requests)
        return {
            "cpu_s": drive.facts.cpu_s,
            "wall_s": drive.facts.wall_s,
            "connections": drive.facts.connections_opened,
            "unsolicited": drive.facts.unsolicited,
            "bytes_sent": drive.facts.bytes_sent,
            "bytes_received": drive.facts.bytes_received,
            "problem": problems[0] if problems else "",
        }

    def _problem(self, sample: Sample) -> str:
        """What is wrong with an answer; empty when it is the expected one."""
        try:
            given = self._decoded(sample)
        except (BenchError, WireError) as error:
            return str(error)
        wanted = {name: [values] for name, values in self._expected[sample.input].items()}
        found = {name: [values] for name, values in given.items()}
        return compare_outputs(wanted, found, None, self._job.tolerance).problem

    def _decoded(self, sample: Sample) -> Batch:
        code: Encoding = encoding(self._aimed().encoding)
        try:
            return code.decode_response(sample.body, dict(sample.headers), self._job.artifact.outputs)
        except WireError as error:
            raise TargetError(f"the answer to input {sample.input} cannot be read: {error}") from error

    def _aimed(self) -> Endpoint:
        if self._endpoint is None:
            raise RuntimeError("asked before aim")
        return self._endpoint


def _go_first() -> None:
    """Ask to run as soon as something is due: a scheduler that shares time fairly lets a request wait for milliseconds.

    Real-time priority, or else a better ordinary one; only root is granted either.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


def _all_good(drive: Drive) -> Iterable[Sample]:
    """The kept answers, when all are; TargetError with the first that is none, in the server's own words."""
    statuses = drive.requests.status
    bad = [position for position, status in enumerate(statuses.tolist()) if not _is_good(status)]
    if not bad:
        return drive.samples
    words = next((sample.body for sample in drive.samples if sample.position == bad[0]), b"")
    told = words[:_SHOWN_CHARS].decode(errors="replace")
    raise TargetError(
        f"the server answered {len(bad)} of {len(statuses)} requests with no outputs; the first: status "
        f"{int(statuses[bad[0]])} {told}".rstrip(),
        hint="see the server's log below the run's directory",
    )


def _is_good(status: int) -> bool:
    return status in {OK_HTTP, OK_GRPC}
