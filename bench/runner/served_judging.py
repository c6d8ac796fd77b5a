"""From what a served cell yielded to its record."""

from __future__ import annotations

from dataclasses import replace

from bench.core.cell import Tolerance
from bench.core.record import Record
from bench.core.results import Costs, Outcome
from bench.core.served import Served
from bench.measure.served.validity import in_order

from .checks import check
from .judging import Scene, measured_record, outcome_of_check
from .prepared import CellRun
from .served_group import ServedRun


def served_record(
    scene: Scene, run: ServedRun, reference: CellRun | None, reference_id: str, tolerance: Tolerance
) -> Record:
    """The record of a served cell, however far it came.

    Its fidelity is that of the answers that came over the wire, against those of the reference variant in process.
    """
    checked = check(_over_the_wire(run), reference, tolerance)
    record = measured_record(
        scene, run.in_process, reference_id, comparison=None, checked=checked, samples=None, reference_samples=None
    )
    served = run.result.served if run.result is not None else None
    return replace(
        record,
        outcome=_own_outcome(run) or outcome_of_check(checked) or Outcome(status="ok"),
        statistics=None,  # the latency in process is part of `served`, and not the cell's
        flags=() if served is None else in_order([*served.flags, *(served.headline.flags if served.headline else ())]),
        served=served,
        costs=record.costs if served is None else _costs(record.costs, served),
        in_force=replace(record.in_force, cpu_ids=run.result.cpu_ids if run.result is not None else ()),
    )


def _over_the_wire(run: ServedRun) -> CellRun:
    """The rounds in process with the outputs that were served in place of their own."""
    if run.result is None or not run.result.outputs_path:
        return run.in_process
    first, *others = run.in_process.rounds
    return replace(run.in_process, rounds=[replace(first, outputs_path=run.result.outputs_path), *others])


def _own_outcome(run: ServedRun) -> Outcome | None:
    """The first thing that went wrong with the cell itself; None when its numbers may be ranked."""
    if run.in_process.outcome is not None:
        return run.in_process.outcome
    if run.result is not None and run.result.outcome is not None:
        return run.result.outcome
    served = run.result.served if run.result is not None else Served()
    flags = in_order([*served.flags, *(served.headline.flags if served.headline is not None else ())])
    deciding = next((flag for flag in flags if flag.name.startswith("invalid-")), None)
    if deciding is None:
        return None
    if deciding.name == "invalid-errors":
        return Outcome(status="failed", reason=deciding.text, culprit="target", phase="load")
    if deciding.name == "invalid-client-limited":
        return Outcome(status="invalid", reason=f"CLIENT-LIMITED: {deciding.text}", culprit="measurement", phase="load")
    return Outcome(status="invalid", reason=f"{deciding.name}: {deciding.text}", culprit="target", phase="load")


def _costs(costs: Costs, served: Served) -> Costs:
    """Processor time and memory are those of the servers; what the artifact cost to make is the same behind any."""
    headline = served.headline
    cpu_us = headline.server_cpu_us_per_request if headline is not None else None
    return replace(
        costs,
        import_s=served.import_s,
        load_s=served.load_s,
        peak_memory_bytes=served.server_memory_bytes,
        cpu_ms_per_call=None if cpu_us is None else cpu_us / 1e3,
    )
