"""The run as one JSON object, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bench.records import flat_row

from .reading import Report
from .row import Row

Flat = Mapping[str, Any]


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
    is_compared = row.is_ok and row.has_sound_reference
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
