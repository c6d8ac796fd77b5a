"""`bench schema`: the JSON schema of the matrix, for editors."""

from __future__ import annotations

import argparse
import json


def arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def execute(_words: argparse.Namespace) -> int:
    """Print the schema on stdout."""
    from bench.matrix import schema

    print(json.dumps(schema(), indent=2))
    return 0
