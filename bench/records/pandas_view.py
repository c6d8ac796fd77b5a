"""The flat view of records: one row per cell, one column per number, for pandas, CSV and whatever else reads tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.cell import Cell, ModelRef, Variant
from bench.core.record import Record
from bench.core.results import (
    RANKED_STATUS,
    Accuracy,
    Comparison,
    Estimate,
    Fidelity,
    Outcome,
    OutputFidelity,
    Statistics,
)
from bench.core.served import LoadPoint, Served

from .run_directory import open_run, run_paths

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, bool | int | float | str | None]

_log = logging.getLogger(__name__)


def frame(source: Path | Iterable[Path | Record]) -> pd.DataFrame:
    """A DataFrame with one row per record and the columns of `flat_row`, also when there is no row.

    `source` is a results directory (all its runs), or paths of runs, or records. From a run a cell counts once, with
    its last record; what is damaged is logged and left out.
    """
    import pandas as pd

    rows = [flat_row(record) for record in _records(source)]
    return pd.DataFrame(rows, columns=list(flat_row(_NOTHING)))


def flat_row(record: Record) -> Row:
    """The record as column -> value, always with the same columns in the same order; None where there is nothing.

    Latencies are those of one call in process, or of a request of the cell's own load behind a server. They, ratios
    and verdicts are given for status `ok` alone, so that sorting by a column never ranks a cell whose answers are
    wrong; so is all else that tells what a server can do.
    """
    ranked = record.outcome.status == RANKED_STATUS
    served = record.served
    return (
        _identity(record)
        | _statistics(record.statistics if ranked else None)
        | (_latencies(served.headline) if ranked and served is not None and served.headline is not None else {})
        | _comparison(record.comparison if ranked else None)
        | _fidelity(record.fidelity)
        | _accuracy(record.accuracy)
        | asdict(record.costs)
        | _circumstances(record)
        | _load(served)
        | _serving(served if ranked else None)
        | _layers(served if ranked else None)
    )


def _records(source: Path | Iterable[Path | Record]) -> Iterable[Record]:
    for item in run_paths(source) if isinstance(source, Path) else source:
        if isinstance(item, Record):
            yield item
            continue
        records, damages = open_run(item).records()
        for damage in damages:
            _log.warning("%s", damage)
        yield from records


def _identity(record: Record) -> Row:
    cell = record.cell
    return {
        "run_id": record.run_id,
        "cell_id": record.cell_id,
        "group_id": record.group_id,
        "reference_id": record.reference_id,
        "is_reference": record.is_reference,
        "model": cell.model.name,
        "variant": cell.variant.name,
        "source": cell.variant.source,
        "steps": " > ".join(step.name for step in cell.variant.steps),
        "adapter": cell.variant.adapter,
        "topology": cell.topology,
        "topology_options": " ".join(f"{name}={value}" for name, value in cell.topology_options),
        "batch": cell.batch,
        "dimensions": " ".join(
            f"{item.name}={item.kind}:{','.join(map(str, item.values))}" for item in cell.dimensions
        ),
        "threads": cell.limits.threads,
        "cpu_quota_cores": cell.limits.cpu_quota_cores,
        "memory_limit_bytes": cell.limits.memory_limit_bytes,
        "load": cell.load.kind,
        "concurrency": cell.load.concurrency,
        "status": record.outcome.status,
        "reason": record.outcome.reason,
        "culprit": record.outcome.culprit,
        "phase": record.outcome.phase,
    }


def _statistics(statistics: Statistics | None) -> Row:
    row: Row = {
        "calls": statistics.calls if statistics else None,
        "rounds": statistics.rounds if statistics else None,
        "min_ms": statistics.min_ms if statistics else None,
    }
    for name in ("p25_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms", "throughput_per_s"):
        row |= _estimate(name, getattr(statistics, name) if statistics else None)
    row["warm_up"] = statistics.warm_up if statistics else None
    return row


def _latencies(headline: LoadPoint) -> Row:
    """The same columns for a load: its percentiles count from when a request was due."""
    row: Row = {}
    for name in ("p50_ms", "p90_ms", "p95_ms", "p99_ms"):
        row |= _estimate(name, getattr(headline, name))
    return row | {"mean_ms": headline.mean_ms}


def _load(served: Served | None) -> Row:
    """What was asked of a server and what came back, however it ended: nothing in it can be ranked."""
    headline = served.headline if served is not None else None
    return {
        "load_verdict": headline.verdict if headline else None,
        "offered_per_s": headline.offered_per_s if headline else None,
        "requests": headline.requests if headline else None,
        "failed": headline.failed if headline else None,
        "answers_checked": headline.checked if headline else None,
        "answers_wrong": headline.wrong if headline else None,
        "agreement": served.agreement if served else None,
        "client_lag_p99_us": headline.lag_p99_us if headline else None,
        "slo_ms": served.slo_ms if served else None,
    }


def _serving(served: Served | None) -> Row:
    """What a server did and can do."""
    headline = served.headline if served is not None else None
    search = served.search if served is not None else None
    return {
        "achieved_per_s": headline.achieved_per_s if headline else None,
        **_estimate("goodput_ratio", headline.goodput_ratio if headline else None),
        "goodput_per_s": headline.goodput_per_s if headline else None,
        "server_cpu_us_per_request": headline.server_cpu_us_per_request if headline else None,
        "x_max_per_s": served.x_max_per_s if served else None,
        "knee_concurrency": served.knee_concurrency if served else None,
        "slo_rate_per_s": search.confirmed_per_s if search else None,
        "zero_load_p50_ms": served.zero_load.p50_ms.value if served and served.zero_load else None,
        **_estimate("server_cost_ms", served.server_cost_ms if served else None),
        "start_s": served.start_s if served else None,
    }


def _layers(served: Served | None) -> Row:
    """Mean ms of a request by layer; `server_ms` stands for all inside of a server that tells nothing."""
    attribution = served.attribution if served is not None else None
    names = ("client", "transport", "queue", "deserialise", "infer", "serialise", "server", "end_to_end")
    return {f"{name}_ms": getattr(attribution, f"{name}_ms") if attribution else None for name in names}


def _comparison(comparison: Comparison | None) -> Row:
    return (
        _estimate("ratio", comparison.ratio if comparison else None)
        | _estimate("p50_ratio", comparison.p50_ratio if comparison else None)
        | {
            "verdict": comparison.verdict if comparison else None,
            "direction": comparison.direction if comparison else None,
            "looks": comparison.looks if comparison else None,
        }
    )


def _estimate(name: str, estimate: Estimate | None) -> Row:
    """Three columns: p50_ms with p50_low_ms and p50_high_ms, ratio with ratio_low and ratio_high."""
    unit = next((unit for unit in ("_ms", "_per_s") if name.endswith(unit)), "")
    stem = name.removesuffix(unit)
    interval = estimate.interval if estimate else None
    return {
        name: estimate.value if estimate else None,
        f"{stem}_low{unit}": interval.low if interval else None,
        f"{stem}_high{unit}": interval.high if interval else None,
    }


def _fidelity(fidelity: Fidelity | None) -> Row:
    """Of several outputs the worst counts."""
    outputs = fidelity.outputs if fidelity else ()
    return {
        "fidelity_passed": fidelity.passed if fidelity else None,
        "fidelity_problem": fidelity.problem if fidelity else None,
        "deterministic": fidelity.deterministic if fidelity else None,
        "max_abs_error": _worst(max, outputs, lambda output: output.max_abs_error),
        "relative_error": _worst(max, outputs, lambda output: output.relative_error),
        "cosine": _worst(min, outputs, lambda output: output.cosine),
        "top1_agreement_ratio": _worst(min, outputs, lambda output: output.top1_agreement_ratio),
        "not_finite": sum(output.not_finite for output in outputs) if fidelity else None,
    }


def _worst(
    choose: Callable[[list[float]], float],
    outputs: Iterable[OutputFidelity],
    value: Callable[[OutputFidelity], float | None],
) -> float | None:
    known = [number for output in outputs if (number := value(output)) is not None]
    return choose(known) if known else None


def _accuracy(accuracy: Accuracy | None) -> Row:
    return _estimate("accuracy", accuracy.ratio if accuracy else None) | {
        "accuracy_metric": accuracy.metric if accuracy else None,
        "correct": accuracy.correct if accuracy else None,
        "labelled": accuracy.total if accuracy else None,
        "accuracy_p_value": accuracy.p_value if accuracy else None,
    }


def _circumstances(record: Record) -> Row:
    artifact = record.artifact
    return {
        "artifact_id": artifact.id if artifact else None,
        "format": artifact.format if artifact else None,
        "provider": record.in_force.provider,
        "threads_seen": record.in_force.threads_seen,
        "isolation": record.in_force.isolation,
        "flags": ",".join(flag.name for flag in record.flags),
        "samples": record.samples.path if record.samples else None,
        "source_sha256": record.source_sha256,
        "inputs_sha256": record.inputs_sha256,
        "environment_id": record.environment_id,
        "started_at": record.started_at,
        "schema_version": record.schema_version,
    }


_NOTHING = Record(
    run_id="",
    cell=Cell(model=ModelRef(name="", kind="null", location=""), variant=Variant(name="", source="", adapter="")),
    cell_id="",
    group_id="",
    reference_id="",
    outcome=Outcome(status="skipped"),
    started_at="",
)
