"""`bench report`: the HTML page of a run, or its table as Markdown or JSON, rebuilt from what the run left."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and in which form."""
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="path or id of a run (the latest one)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where runs are kept (results)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a table for a pull request instead")
    form.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--open", choices=("yes", "no"), default="no", help="show the page in a browser (no)")


def execute(words: argparse.Namespace) -> int:
    """Print what was asked for, or the table and the path of the page."""
    import sys

    from bench import report

    run_dir = chosen_run(words.run, words.results)
    if words.json:
        print(report.run_json(run_dir))
    elif words.markdown:
        print(report.write_markdown(run_dir), end="")
    else:
        page = report.write_html(run_dir)
        report.print_run(run_dir, sys.stdout)
        print(f"report: {page}")
        if words.open == "yes":
            _show(page)
    return 0


def chosen_run(word: str, results_dir: Path) -> Path:
    """The directory of a run named by path or id, or of the latest one; MatrixError when there is none."""
    from bench.core.errors import MatrixError
    from bench.records import run_paths

    paths = {path.name: path for path in run_paths(results_dir)}
    if not word:
        if not paths:
            raise MatrixError(
                f"{results_dir}: no run there yet", hint="bench run, or name another place with --results"
            )
        return list(paths.values())[-1]
    if word in paths:
        return paths[word]
    if "\0" not in word and Path(word).is_dir():
        return Path(word)
    close = get_close_matches(word, paths, n=1)
    suggestion = f"; did you mean {close[0]}?" if close else ""
    raise MatrixError(
        f"{word!r} is neither a directory nor a run in {results_dir}{suggestion}", hint="name a run by its id"
    )


def _show(page: Path) -> None:
    import webbrowser

    from bench.core.errors import HostError

    if not webbrowser.open(page.absolute().as_uri()):
        raise HostError("no browser could be started", hint=f"open {page} yourself")
