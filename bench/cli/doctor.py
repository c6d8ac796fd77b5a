"""`bench doctor`: what can run here and why not, what spoils numbers on this host, are the results intact."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.streams import printable

if TYPE_CHECKING:
    from bench.environment import Finding

_RESULTS_DAMAGED = 6
_MARKS = {"ok": "ok       ", "warning": "warning  ", "problem": "PROBLEM  ", "unavailable": "not here "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where results lie and how deep to look."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="where runs are kept (results)")
    parser.add_argument("--deep", action="store_true", help="also import every package in a child (half a minute)")
    parser.add_argument("--json", action="store_true", help="print one JSON object {findings: [...], damages: [...]}")


def execute(words: argparse.Namespace) -> int:
    """Print the findings, then every damaged record with its place."""
    from bench.environment import doctor

    findings = doctor(words.results, deep=words.deep)
    damages = _damages(words.results)
    if words.json:
        plain = [
            {"kind": found.kind, "subject": found.subject, "text": found.text, "hint": found.hint} for found in findings
        ]
        print(json.dumps({"findings": plain, "damages": damages}, indent=2))
    else:
        _print(findings, damages)
    return _RESULTS_DAMAGED if damages else 0


def _damages(results_dir: Path) -> list[str]:
    """What of the runs cannot be read or is not what was written, each with its place."""
    from bench import records
    from bench.core.errors import StoreError

    found: list[str] = []
    for path in records.run_paths(results_dir):
        try:
            read, damages = records.open_run(path).records()
        except StoreError as error:
            found.append(error.message)
            continue
        found += [str(damage) for damage in damages]
        for record in read:
            for samples in filter(None, (record.samples, record.reference_samples)):
                try:
                    records.read_samples(path, samples)
                except StoreError as error:
                    found.append(error.message)
    return found


def _print(findings: tuple[Finding, ...], damages: list[str]) -> None:
    for found in findings:
        print(printable(f"{_MARKS[found.kind]} {found.subject}: {found.text}"))
        if found.hint and found.kind != "ok":
            print(printable(f"          next: {found.hint}"))
    for damage in damages:
        print(printable(f"DAMAGED   {damage}"))
    if not damages:
        print("ok        results: every record and sample file is what was written")
