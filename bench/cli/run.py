"""`bench run`: measure a matrix, or a model by path, and say what was found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.cli.streams import printable, until_the_reader_leaves
from bench.core.errors import MatrixError, RefusedError

if TYPE_CHECKING:
    from bench.matrix import Matrix
    from bench.runner import RunResult

_SOME_CELLS_NOT_OK = 3
_MATRIX_SUFFIXES = (".yaml", ".yml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to run, how much of it, and where results go."""
    add_matrix_arguments(parser)
    add_output_arguments(parser)
    parser.add_argument("--prepare", action="store_true", help="build all that is missing, and measure nothing yet")
    parser.add_argument("--new", action="store_true", help="start anew instead of resuming an unfinished run")
    parser.add_argument(
        "--isolation",
        choices=("auto", "namespace", "group"),
        default="auto",
        help="how worker processes are contained (auto: the best this host allows)",
    )


def add_matrix_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that choose a matrix, shared by `run` and `plan`."""
    parser.add_argument(
        "target",
        nargs="?",
        default="",
        help="matrix file, model file or directory, or zoo name (matrices/default.yaml)",
    )
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a value of the matrix")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="cells by id or model.variant")
    parser.add_argument("--quick", action="store_true", help="less measuring: wider intervals, more 'inconclusive'")
    parser.add_argument("--trust", action="append", default=[], metavar="PATH", help="a model file that may run code")
    parser.add_argument(
        "--inputs", default="", metavar="FILE", help="your own .npz, .npy or .jsonl for a model by path"
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Where results go and how they are shown."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="where runs are kept (results)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout instead of the table")
    parser.add_argument("--no-report", action="store_true", help="do not write report.html")


def chosen_matrix(words: argparse.Namespace) -> Matrix:
    """The matrix that the words mean."""
    from bench import matrix

    if words.inputs and (not words.target or words.target.endswith(_MATRIX_SUFFIXES)):
        raise MatrixError(
            "--inputs is for a model named by path", hint="in a matrix, write it at the model: models.NAME.inputs"
        )
    choice = {"sets": words.set, "only": words.only, "quick": words.quick, "trusted": words.trust}
    if not words.target:
        return matrix.load(_default_matrix(), **choice)
    if words.target.endswith(_MATRIX_SUFFIXES):
        return matrix.load(Path(words.target), **choice)
    return matrix.matrix_for_model(words.target, inputs=words.inputs, **choice)


def _default_matrix() -> Path:
    """`matrices/default.yaml` here, or else the one of the repository or of the installed package."""
    name = Path("matrices/default.yaml")
    package = Path(bench.__file__).parent
    places = (name, package.parent / name, package / name)
    return next((place for place in places if place.exists()), name)


def execute(words: argparse.Namespace) -> int:
    """Run, print the table or the JSON object, write the report."""
    from bench import runner
    from bench.cli.progress import Progress

    matrix = chosen_matrix(words)
    if words.prepare:
        return _prepare(matrix)
    with Progress(sys.stderr) as progress:
        result = runner.run(
            matrix,
            runner.RunOptions(
                results_dir=words.results,
                resume=not words.new,
                isolation=words.isolation,
                command=tuple(sys.argv),
            ),
            progress,
        )
    return finish(words, result)


def _prepare(matrix: Matrix) -> int:
    """Build what the matrix needs, and say of which cells nothing can come."""
    from bench import runner
    from bench.cli.progress import Progress

    with Progress(sys.stderr) as progress:
        obstacles = runner.prepare(matrix, progress)
    cells = len(list(matrix.cells))
    print(f"{printable(matrix.name)}: {cells - len(obstacles)} of {cells} cells can be measured")
    for cell_id, outcome in obstacles.items():
        hint = f" (next: {outcome.hint})" if outcome.hint else ""
        print(printable(f"  {outcome.status} {cell_id}: {outcome.reason}{hint}"))
    return _SOME_CELLS_NOT_OK if obstacles else 0


def finish(words: argparse.Namespace, result: RunResult) -> int:
    """Show what a run left, in the form the words ask for; returns the exit code."""
    from bench import report
    from bench.cli.progress import print_spent

    with until_the_reader_leaves():  # the exit code still says how the cells ended
        if words.json:
            print(report.run_json(result.run_dir))
        else:
            report.print_run(result.run_dir, sys.stdout)
            print_spent(result.spent_s, sys.stdout)
    if not words.no_report:
        page = report.write_html(result.run_dir)  # last: whatever becomes of the page, the numbers have been shown
        if not words.json:
            with until_the_reader_leaves():
                print(f"report: {page}")
    return _exit_code(result)


def _exit_code(result: RunResult) -> int:
    if result.interrupted_by is not None:
        return 128 + result.interrupted_by
    statuses = {record.outcome.status for record in result.records}
    if "refused" in statuses:
        return RefusedError.exit_code
    return 0 if statuses <= {"ok"} else _SOME_CELLS_NOT_OK
