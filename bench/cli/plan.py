"""`bench plan`: what a matrix would run here, and what not and why; loads no framework."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING

from bench.cli.run import add_matrix_arguments, chosen_matrix
from bench.cli.streams import printable

if TYPE_CHECKING:
    from bench.plan import Plan

_SHOWN_CELLS = 200


def arguments(parser: argparse.ArgumentParser) -> None:
    """The same choice of cells as `run`."""
    add_matrix_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object with every cell")


def execute(words: argparse.Namespace) -> int:
    """Print the plan; a cell that cannot run is no error here."""
    from bench.plan import make_plan

    matrix = chosen_matrix(words)
    plan = make_plan(matrix.groups)
    if words.json:
        json.dump({"name": matrix.name, "cells": _entries(plan)}, sys.stdout, indent=1)
        print()
    else:
        _print(matrix.name, plan)
    return 0


def _entries(plan: Plan) -> list[dict[str, object]]:
    return [
        {
            "id": planned.cell.id,
            "model": planned.cell.model.name,
            "variant": planned.cell.variant.name,
            "status": "planned" if planned.obstacle is None else planned.obstacle.status,
            "reason": "" if planned.obstacle is None else planned.obstacle.reason,
            "hint": "" if planned.obstacle is None else planned.obstacle.hint,
        }
        for planned in plan.cells
    ]


def _print(name: str, plan: Plan) -> None:
    """Counts, every reason once with its number of cells, then the cells as far as a person reads."""
    runnable = sum(planned.obstacle is None for planned in plan.cells)
    print(f"{printable(name)}: {len(plan.cells)} cells in {len(plan.groups)} groups, {runnable} can run here")
    reasons = Counter(
        (planned.obstacle.status, planned.obstacle.reason, planned.obstacle.hint)
        for planned in plan.cells
        if planned.obstacle is not None
    )
    for (status, reason, hint), count in reasons.most_common():
        print(printable(f"  {status} {count}: {reason}" + (f" (next: {hint})" if hint else "")))
    for planned in plan.cells[:_SHOWN_CELLS]:
        print(f"  {'run ' if planned.obstacle is None else 'skip'} {planned.cell.id}")
    if len(plan.cells) > _SHOWN_CELLS:
        print(f"  ... and {len(plan.cells) - _SHOWN_CELLS} more (--json lists all)")
