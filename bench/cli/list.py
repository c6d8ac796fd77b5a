"""`bench list`: every plug-in with what it needs and whether it can run here."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

_PLAIN_WIDTH_CHARS = 140


def arguments(parser: argparse.ArgumentParser) -> None:
    """One kind, or all."""
    from bench.core.plugins import TABLES

    parser.add_argument("kind", nargs="?", choices=tuple(TABLES), help="show one kind only")
    parser.add_argument("--json", action="store_true", help="print one JSON object {kind: [{name, needs, ...}]}")


def execute(words: argparse.Namespace) -> int:
    """Print the tables."""
    from bench.core.plugins import TABLES

    kinds = (words.kind,) if words.kind else tuple(TABLES)
    listing = {kind: _entries(kind) for kind in kinds}
    if words.json:
        print(json.dumps(listing, indent=2))
    else:
        _print_tables(listing)
    return 0


def _entries(kind: str) -> list[dict[str, Any]]:
    from bench.core.plugins import table
    from bench.environment import gpus, plugin_finding

    has_gpu = bool(gpus().found)
    entries = []
    for spec in table(kind).values():
        finding = plugin_finding(kind, spec, has_gpu=has_gpu)
        reason = "" if finding.kind == "ok" else ": ".join(filter(None, (finding.text, finding.hint)))
        entries.append(
            {
                "name": spec.name,
                "summary": spec.summary,
                "needs": list(spec.needs),
                "accepts": list(spec.accepts),
                "produces": spec.produces,
                "learns_from": spec.learns_from,
                "devices": list(spec.devices),
                "runs_here": not reason,
                "reason": reason,
            }
        )
    return entries


def _print_tables(listing: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from bench.cli.streams import printable

    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH_CHARS)
    for kind, entries in listing.items():
        table = Table(title=kind, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in ("name", "here", "formats", "what it is"):
            table.add_column(column, overflow="fold")
        for entry in entries:
            formats = ", ".join(entry["accepts"]) + (f" -> {entry['produces']}" if entry["produces"] else "")
            here = "yes" if entry["runs_here"] else "no"
            table.add_row(*(Text(printable(cell)) for cell in (entry["name"], here, formats, entry["summary"])))
        console.print(table)
        for entry in entries:
            if not entry["runs_here"]:
                print(printable(f"  not here: {entry['name']}: {entry['reason']}"))
        console.print()
