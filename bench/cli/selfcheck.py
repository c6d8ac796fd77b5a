"""`bench selfcheck`: what this machine can resolve today, and whether the harness tells the truth on it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.runner.selfcheck import SelfCheck

_CHECK_FAILED = 3
_NAME_CHARS = 28


def arguments(parser: argparse.ArgumentParser) -> None:
    """How it is shown."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the lines")


def execute(words: argparse.Namespace) -> int:
    """Run the checks, store them for later runs on this machine, print them; 3 when one failed."""
    import msgspec

    from bench.runner import selfcheck

    print("measuring for about half a minute, longer on a busy machine ...", file=sys.stderr)
    result = selfcheck.selfcheck()
    path = selfcheck.keep(result)
    if words.json:
        shown = {"passed": result.passed, "path": str(path), **msgspec.to_builtins(result)}
        print(msgspec.json.format(msgspec.json.encode(shown)).decode())
    else:
        _print(result, path)
    return 0 if result.passed else _CHECK_FAILED


def _print(result: SelfCheck, path: Path) -> None:
    load = ", ".join(f"{value:g}" for value in result.load_average)
    for check in result.checks:
        print(f"{check.status:12}  {check.name:{_NAME_CHARS}}  {check.text}")
    print(f"environment {result.environment_id}, load average before {load}; took {result.duration_s:.0f} s")
    print(f"stored: {path}")
