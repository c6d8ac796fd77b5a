"""`bench check`: how a model and its variants behave on inputs that are corrupted, extreme, repeated or regrouped."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.run import add_matrix_arguments, chosen_matrix
from bench.cli.streams import printable
from bench.core.behaviour import output_range

if TYPE_CHECKING:
    from bench.runner import VariantChecks

_FAILED = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, which variants, and what its user knows of it."""
    add_matrix_arguments(parser)
    parser.add_argument("--variant", action="append", default=[], metavar="GLOB", help="variants to check (all)")
    parser.add_argument("--cases", type=Path, metavar="FILE", help="inputs with `labels` that must come out right")
    parser.add_argument(
        "--output-range", action="append", default=[], metavar="OUTPUT=LOW:HIGH", help="values that an output may have"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object with every result")


def execute(words: argparse.Namespace) -> int:
    """Make the checks and print them; 3 when one failed."""
    from bench import runner
    from bench.cli.progress import Progress

    matrix = chosen_matrix(words)
    ranges = [output_range(text) for text in words.output_range]
    with Progress(sys.stderr) as progress:
        found = []
        for checks in runner.check_behaviour(
            matrix, progress, variants=words.variant, ranges=ranges, cases=words.cases
        ):
            found.append(checks)
            if not words.json:
                _print(checks)
    if words.json:
        print(_as_json(found))
    return 0 if all(checks.passed for checks in found) else _FAILED


def _print(checks: VariantChecks) -> None:
    print(printable(f"{checks.model}.{checks.variant}"))
    if checks.outcome is not None:
        hint = f" (next: {checks.outcome.hint})" if checks.outcome.hint else ""
        print(printable(f"  {checks.outcome.status:8} {checks.outcome.reason}{hint}"))
    for result in checks.results:
        print(printable(f"  {result.status:8} {result.check:18} {result.text}"))


def _as_json(found: Sequence[VariantChecks]) -> str:
    import msgspec

    body = [{**msgspec.to_builtins(checks), "passed": checks.passed} for checks in found]
    return json.dumps({"passed": all(checks.passed for checks in found), "variants": body}, indent=2)
