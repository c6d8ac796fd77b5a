"""Repeat a job by hand and print what it answers: `python -m bench.worker JOB.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from bench.core.cell import Measurement
from bench.core.job import Job, LoadJob, MeasureJob, NumericsJob, ProfileJob
from bench.measure.schedule import calls_per_block

from .jobs import performer
from .protocol import Answer


def repeat(job: Job) -> int:
    """Run every verb of the job in its order, with the default amount of measuring, and print each answer."""
    if isinstance(job, LoadJob):
        print(
            "a client needs its server: bench replay repeats a served cell, bench serve keeps one up", file=sys.stderr
        )
        return 2
    worker = performer(job)

    def ask(verb: str, **body: Any) -> Answer:
        answer = worker.ask(verb, body, lambda phase: print(f"# {phase}", file=sys.stderr))
        print(json.dumps({"verb": verb, **_short(answer)}, default=str))
        return answer

    if isinstance(job, NumericsJob):
        while "found" not in ask("next"):
            pass
        return 0
    if not isinstance(job, MeasureJob):
        ask("profile" if isinstance(job, ProfileJob) else "make")
        return 0
    measurement = Measurement()
    inputs, rotate = ask("open")["inputs"], job.cell.has_varied_inputs
    if job.outputs_path:
        ask("check")
    warm = ask("warm", measurement=msgspec.to_builtins(measurement), rotate=rotate)
    calls = calls_per_block(warm["estimate_ns"], measurement, inputs=inputs if rotate else 1)
    for _ in range(measurement.blocks):
        ask("block", calls=calls, rotate=rotate)
    if not job.outputs_path and not rotate and inputs > 1:
        ask("distinct")
    ask("finish")
    return 0


def _short(answer: Answer) -> Answer:
    """The answer with its latencies as three numbers: what a person wants to see."""
    latencies_ns = sorted(answer.get("latencies_ns", ()))
    if not latencies_ns:
        return answer
    shown = {key: value for key, value in answer.items() if key != "latencies_ns"}
    quarter = len(latencies_ns) // 4
    return {
        **shown,
        "calls": len(latencies_ns),
        "min_ns": latencies_ns[0],
        "p25_ns": latencies_ns[quarter],
        "p50_ns": latencies_ns[2 * quarter],
    }
