"""One cell of an earlier run as a matrix of its own, from what that run froze: the user's file is not needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from bench.core.canonical import digest
from bench.core.cell import Cell, Group, Measurement, Serving, Tolerance
from bench.core.errors import StoreError

from .locations import absolute, is_trusted
from .matrix import Matrix


def replay_matrix(
    resolved: Mapping[str, Any], cell: Cell, reference: Cell | None, *, trusted: Sequence[str] = ()
) -> Matrix:
    """The cell beside its reference, measured as `resolved` (of run.json) says.

    Trust is not taken from the earlier run, which may be somebody else's: `trusted` are the user's words of today.
    """
    today = frozenset(absolute(location, Path.cwd()) for location in trusted)
    cells = tuple(_retrusted(each, today) for each in dict.fromkeys((reference or cell, cell)))
    try:
        measurement = msgspec.convert(resolved["measurement"], Measurement)
        serving = msgspec.convert(resolved.get("serving", {}), Serving)  # absent in runs from before there were servers
        variants = resolved["models"][cell.model.name]["variants"]
        tolerances = {
            (each.model.name, each.variant.name): msgspec.convert(variants[each.variant.name]["tolerance"], Tolerance)
            for each in cells
        }
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise StoreError(f"run.json does not describe {cell.id}: {error}", hint="bench doctor") from error
    name = f"replay of {cell.model.name}.{cell.variant.name}"
    plain = {"replay": [asdict(each) for each in cells], "measurement": asdict(measurement), "serving": asdict(serving)}
    return Matrix(
        name=name,
        path=None,
        text=json.dumps(plain, ensure_ascii=False, indent=1, default=list),
        groups=(Group(id=cells[0].group_id, cells=cells, reference_id=cells[0].id),),
        measurement=measurement,
        serving=serving,
        tolerances=tolerances,
        resolved={**resolved, "name": name, "only": [each.id for each in cells]},
        digest=digest(msgspec.to_builtins(plain)),
    )


def _retrusted(cell: Cell, today: frozenset[str]) -> Cell:
    model = cell.model
    return replace(cell, model=replace(model, trusted=is_trusted(model.location, model.format, today)))
