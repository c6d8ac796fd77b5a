"""The run as one JSON object, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bench.records import flat_row

from .reading import Report
from .row import Row
from .served import ServedRow

Flat = Mapping[str, Any]

#: Columns of `bench.records.flat_row` that a served cell tells under the same name.
_SERVED = (
    "offered_per_s", "achieved_per_s", "slo_ms", "goodput_ratio", "goodput_per_s", "zero_load_p50_ms",
    "server_cost_ms", "x_max_per_s", "knee_concurrency", "slo_rate_per_s", "server_cpu_us_per_request", "start_s",
    "client_lag_p99_us", "requests", "failed", "answers_checked", "answers_wrong", "agreement",
)  # fmt: skip
_LAYERS = ("client", "transport", "queue", "deserialise", "infer", "serialise", "server", "end_to_end")


def to_json(report: Report) -> str:
    """Stable keys in a stable order; numbers as measured, null where there is none."""
    entry = {
        "run": report.run.manifest.run_id,
        "environment_id": report.run.manifest.environment_id,
        "cells": [_cell(row) for _, row in report.rows],
    }
    return msgspec.json.format(msgspec.json.encode(entry), indent=1).decode()


def _cell(row: Row) -> dict[str, Any]:
    record, flat = row.record, flat_row(row.record)
    # By definition, so that sorting by `ratio` puts the reference in its place.
    is_ranked_reference = row.standing == "reference"
    is_compared = row.is_ok and row.has_sound_reference and record.comparison is not None
    return {
        "id": record.cell_id,
        "model": record.cell.model.name,
        "variant": record.cell.variant.name,
        "status": record.outcome.status,
        "reason": record.outcome.reason or None,
        "hint": record.outcome.hint or None,
        "p50_ms": flat["p50_ms"],
        "p50_interval": _interval(flat, "p50", "_ms"),
        "p99_ms": flat["p99_ms"],
        "ratio": 1.0 if is_ranked_reference else flat["ratio"] if is_compared else None,
        "ratio_interval": _interval(flat, "ratio") if is_compared else None,
        "verdict": "reference" if is_ranked_reference else flat["verdict"] if is_compared else None,
        "direction": "reference" if is_ranked_reference else flat["direction"] if is_compared else None,
        "reference": record.reference_id or None,
        "fidelity": _fidelity(flat) if record.fidelity is not None else None,
        "accuracy": _accuracy(flat) if record.accuracy is not None else None,
        "size_bytes": flat["artifact_size_bytes"],
        "peak_memory_bytes": flat["peak_memory_bytes"],
        "load_s": flat["load_s"],
        "first_call_ms": flat["first_call_ms"],
        "cpu_ms_per_call": flat["cpu_ms_per_call"],
        "flags": [flag.name for flag in record.flags],
        "topology": record.cell.topology,
        "topology_options": dict(record.cell.topology_options),
        "load": msgspec.to_builtins(record.cell.load),
        "served": _served(row, flat) if record.served is not None else None,
    }


def _served(row: Row, flat: Flat) -> dict[str, Any]:
    """The main numbers of a served cell; those of the server are null unless the status is `ok`."""
    return {
        "verdict": flat["load_verdict"],
        **{name: flat[name] for name in _SERVED},
        "keeps_objective": row.keeps_objective if isinstance(row, ServedRow) else None,
        "goodput_interval": _interval(flat, "goodput_ratio"),
        "server_cost_interval": _interval(flat, "server_cost", "_ms"),
        "attribution": {f"{name}_ms": flat[f"{name}_ms"] for name in _LAYERS},
    }


def _interval(flat: Flat, stem: str, unit: str = "") -> list[float] | None:
    low, high = flat[f"{stem}_low{unit}"], flat[f"{stem}_high{unit}"]
    return None if low is None or high is None else [low, high]


def _fidelity(flat: Flat) -> dict[str, Any]:
    return {
        "passed": flat["fidelity_passed"],
        "problem": flat["fidelity_problem"] or None,
        "relative_error": flat["relative_error"],
        "cosine": flat["cosine"],
        "top1_agreement_ratio": flat["top1_agreement_ratio"],
        "deterministic": flat["deterministic"],
    }


def _accuracy(flat: Flat) -> dict[str, Any]:
    return {
        "ratio": flat["accuracy"],
        "interval": _interval(flat, "accuracy"),
        "metric": flat["accuracy_metric"],
        "correct": flat["correct"],
        "labelled": flat["labelled"],
    }
