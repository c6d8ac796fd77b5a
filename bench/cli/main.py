"""Words on the command line to a verb; one place turns errors into text and exit codes.

Exit codes: 0 all cells ok, 1 bug of ours, 2 usage or matrix, 3 some cells not ok, 5 refused for safety,
6 results damaged or disk full, 128 + signal when interrupted with data safe.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches

from bench import __version__
from bench.cli.streams import make_usable, printable, until_the_reader_leaves
from bench.core.errors import BenchError, MatrixError

#: verb -> what it does; the module is `bench.cli.<verb>` with `arguments(parser)` and `execute(words) -> exit code`.
VERBS = {
    "run": "measure a matrix, or a model by path",
    "plan": "show what a matrix would run here, and what not and why",
    "list": "show models, steps, adapters, topologies, limiters, profilers",
    "doctor": "what can run here, what spoils numbers on this host, are the results intact",
    "inspect": "show what is in a model file: operators, weights, work; compare two files",
    "check": "check how a model behaves on corrupted, extreme, repeated and regrouped inputs",
    "explain": "say why one variant is slower than another, or where its numbers go wrong",
    "report": "write the HTML page or the Markdown table of a run",
    "profile": "show where the time of one cell goes: operators, lines, functions, one trace",
    "replay": "repeat one cell of a run from its record",
    "schema": "print the JSON schema of the matrix for editors",
    "serve": "serve a build of a model until Ctrl-C, with an API page and lines to paste",
    "search": "find the highest rate at which a server keeps a latency goal",
    "query": "ask a server for one answer: classes of an image, embeddings of texts",
    "selfcheck": "measure what this machine can resolve, in under a minute",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    make_usable()
    words = list(sys.argv[1:] if arguments is None else arguments)
    code: int = 0
    try:
        _require_known_verb(words)
        with until_the_reader_leaves():
            parsed = _parser(words).parse_args(words)
            code = importlib.import_module(f"bench.cli.{parsed.verb}").execute(parsed)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  the last place where it can become words
        if "--debug" in words:
            traceback.print_exception(error)
        return _say(error if isinstance(error, BenchError) else _our_bug(error))
    return code


def _require_known_verb(words: Sequence[str]) -> None:
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is None or verb in VERBS:
        return
    close = get_close_matches(verb, VERBS, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ""
    raise MatrixError(f"{verb!r} is not a verb{suggestion}", hint=f"bench --help; the verbs are {', '.join(VERBS)}")


def _our_bug(error: Exception) -> BenchError:
    return BenchError(
        f"a bug: {type(error).__name__}: {error}",
        hint="finished cells are safe; repeat it with --debug and report what that shows",
    )


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
        print(printable(problem), file=sys.stderr)
    print(f"error ({error.culprit}): {printable(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"  next: {printable(error.hint)}", file=sys.stderr)
    return error.exit_code
