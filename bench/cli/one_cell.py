"""One cell behind one topology, by the words of a command line: what `bench serve` and `bench search` work on."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.cli.cells import names_of
from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.matrix import Matrix

_SHOWN_CELLS = 30
_USUAL_TOPOLOGY = "simple"
_IN_PROCESS = "direct"
_MATRIX_SUFFIXES = (".yaml", ".yml")
_AXIS = "--set axes.topology: axes.topology[0]"


@dataclass(frozen=True, kw_only=True, slots=True)
class OneCell:
    """A cell, the reference of its group, and the matrix that says how both are made."""

    matrix: Matrix
    cell: Cell
    reference: Cell


def add_one_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that choose a variant and how it is served."""
    parser.add_argument("model", help="zoo name, model file or directory; or a matrix file")
    parser.add_argument(
        "--variant", default="", metavar="NAME", help="which build of it (its reference); in a matrix also a cell's id"
    )
    parser.add_argument("--topology", default="", metavar="NAME", help=f"how it is served ({_USUAL_TOPOLOGY})")
    parser.add_argument(
        "--option", action="append", default=[], metavar="K=V", help="an option of the topology (repeatable)"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="threads of each process with the model (1)")
    parser.add_argument("--trust", action="append", default=[], metavar="PATH", help="a model file that may run code")
    parser.add_argument("--inputs", default="", metavar="FILE", help="your own samples for a model by path")


def count(text: str) -> int:
    """A whole number from 1 upwards."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def chosen_cell(
    words: argparse.Namespace,
    *,
    quick: bool = False,
    topology: str = "",
    options: Mapping[str, Any] | None = None,
    threads: int = 0,
) -> OneCell:
    """The cell that the words mean; `topology`, `options` and `threads` go before what the words say of the same.

    MatrixError: no such variant or topology, an option that it does not have, or no server in the topology.
    """
    given = options if options is not None else options_of(words.option)
    matrix = _matrix(words, topology or words.topology, given, threads=threads or words.threads, quick=quick)
    places = [(group, cell) for group in matrix.groups for cell in group.cells]
    served = [(group, cell) for group, cell in places if cell.topology != _IN_PROCESS]
    if not served:
        raise MatrixError(
            "direct has no server: the model is called in process",
            hint=f"--topology {_USUAL_TOPOLOGY}; bench list topologies names the others",
        )
    if words.variant:
        fitting = [(group, cell) for group, cell in served if words.variant in names_of(cell)]
    else:
        fitting = [(group, cell) for group, cell in served if cell.id == group.reference_id]
    if len(fitting) != 1:
        raise _not_one([cell for _, cell in fitting], [cell for _, cell in served], words)
    group, cell = fitting[0]
    return OneCell(matrix=matrix, cell=cell, reference=group.reference)


def _matrix(
    words: argparse.Namespace, topology: str, options: Mapping[str, Any], *, threads: int | None, quick: bool
) -> Matrix:
    from bench.cli.run import chosen_matrix
    from bench.core import plugins

    is_file = words.model.endswith(_MATRIX_SUFFIXES)
    if not topology and (options or not is_file):
        topology = _USUAL_TOPOLOGY
    sets = [f"axes.threads=[{threads}]"] if threads else []
    if topology:
        plugins.lookup("topologies", topology)
        sets.append(f"axes.topology={json.dumps([{topology: dict(options)}])}")
    asked = argparse.Namespace(
        target=words.model, set=sets, only=[], quick=quick, trust=words.trust, inputs=words.inputs
    )
    try:
        return chosen_matrix(asked)
    except MatrixError as error:
        problems = tuple(
            problem.replace(f"{_AXIS}.{topology}", f"--option of {topology}") for problem in error.problems
        )
        raise MatrixError(error.message, hint=error.hint, problems=problems) from error


def options_of(words: Sequence[str]) -> Mapping[str, Any]:
    """`K=V` pairs; a value is true, false, a number, or else text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise MatrixError(f"--option {word}: write it as K=V", hint="for example --option max_batch=8")
        found[name] = _value(text)
    return found


def _value(text: str) -> bool | int | float | str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _not_one(fitting: Sequence[Cell], cells: Sequence[Cell], words: argparse.Namespace) -> MatrixError:
    if fitting:
        listed = "\n  ".join([cell.id for cell in fitting][:_SHOWN_CELLS])
        return MatrixError(
            f"{len(fitting)} cells of {words.model} are meant", hint=f"--variant with one of:\n  {listed}"
        )
    listed = ", ".join(dict.fromkeys(cell.variant.name for cell in cells))
    return MatrixError(f"{words.variant!r} is no variant of {words.model}", hint=f"there are {listed}")
