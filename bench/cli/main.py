"""Words on the command line to a verb; one place turns errors into text and exit codes.

Exit codes: 0 all cells ok, 1 bug of ours, 2 usage or matrix, 3 some cells not ok, 5 refused for safety,
6 results damaged or disk full, 128 + signal when interrupted with data safe.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from bench import __version__
from bench.core.errors import BenchError, MatrixError

#: verb -> what it does; the module is `bench.cli.<verb>` with `arguments(parser)` and `execute(words) -> exit code`.
VERBS = {
    "run": "measure a matrix, or a model by path",
    "plan": "show what a matrix would run here, and what not and why",
    "list": "show models, steps, adapters, topologies, limiters",
    "doctor": "what can run here, what spoils numbers on this host, are the results intact",
    "report": "write the HTML page or the Markdown table of a run",
    "replay": "repeat one cell of a run from its record",
    "schema": "print the JSON schema of the matrix for editors",
    "selfcheck": "measure what this machine can resolve, in under a minute",
}
_INTERNAL_BUG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        parsed = _parser(words).parse_args(words)
        code: int = importlib.import_module(f"bench.cli.{parsed.verb}").execute(parsed)
        sys.stdout.flush()
    except BenchError as error:
        if debug:
            raise
        return _say(error)
    except BrokenPipeError:
        _abandon_stdout()
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with the arguments of the chosen verb only: the others' modules stay unread."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Which build of my model, served how, within which limits, meets my latency goal?"
    )
    parser.add_argument("--version", action="version", version=f"deploybench {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = next((word for word in words if word in VERBS), None)
    for verb, summary in VERBS.items():
        sub = verbs.add_parser(verb, help=summary, description=summary)
        sub.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        if verb == chosen:
            importlib.import_module(f"bench.cli.{verb}").arguments(sub)
    return parser


def _say(error: BenchError) -> int:
    """Print an error as place, cause and next step."""
    problems = error.problems if isinstance(error, MatrixError) else ()
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"error ({error.culprit}): {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  next: {error.hint}", file=sys.stderr)
    return error.exit_code


def _abandon_stdout() -> None:
    """The reader went away (`| head`): point stdout elsewhere, so that the interpreter's last flush is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
