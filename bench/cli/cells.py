"""Cells by the words of a command line: of a recorded run, or of a matrix, a model file or a zoo name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.core.cell import Cell
    from bench.core.record import Record
    from bench.matrix import Matrix

_SHOWN_CELLS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """Cells of one group as the words name them, and the cell that their ratios are taken against, None where the run
    has not recorded it.

    `run_dir` and `records` (by cell id) are those of a recorded run; without one, both are empty.
    """

    matrix: Matrix
    cells: tuple[Cell, ...]
    reference: Cell | None
    run_dir: Path | None
    records: Mapping[str, Record]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidates:
    """The cells of one group; the reference may not be recorded."""

    cells: Sequence[Cell]
    reference: Cell | None


def add_cell_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the named cells come from."""
    parser.add_argument("--run", default="", metavar="RUN", help="cells of this run, by path or id (the latest one)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where runs are kept (results)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="override a value of the matrix")
    parser.add_argument("--trust", action="append", default=[], metavar="PATH", help="a model file that may run code")
    parser.add_argument("--inputs", default="", metavar="FILE", help="your own samples for a model by path")


@contextmanager
def alone(words: argparse.Namespace, chosen: Together, verb: str) -> Iterator[None]:
    """Hold the lock of a run where the results lie: a look beside a timed pass would spoil the timing.

    Where nothing lies yet there is nobody to disturb; StoreError while a run is under way.
    """
    from bench import records

    own = records.results_dir_of(chosen.run_dir) if chosen.run_dir is not None else None
    results_dir = own or words.results
    with records.exclusive_writer(results_dir, verb) if results_dir.is_dir() else nullcontext():
        yield


def chosen_cells(words: argparse.Namespace, names: Sequence[str]) -> Together:
    """The cells called `names` (a variant, model.variant or a cell's id), all of one group.

    Where the first of the names is a model of the zoo, a model file or a matrix, the others are its variants; else all
    are cells of a recorded run. MatrixError names those that there are when it is not clear which are meant.
    """
    if not words.run and _is_target(names[0]):
        if len(names) == 1:
            raise MatrixError(
                f"{names[0]} is a model or a matrix: which variant of it?", hint="name it behind the model"
            )
        return _of_matrix(words, names[0], names[1:])
    if words.set or words.inputs:
        raise MatrixError(
            "--set and --inputs change a model or a matrix, and a recorded run is fixed", hint="name the model first"
        )
    return _of_run(words, names)


def _is_target(name: str) -> bool:
    from bench.core import plugins

    if name in plugins.table("models") or name.endswith((".yaml", ".yml")):
        return True
    return "\0" not in name and Path(name).exists()


def _of_matrix(words: argparse.Namespace, target: str, names: Sequence[str]) -> Together:
    from bench.cli.run import chosen_matrix

    asked = argparse.Namespace(
        target=target, set=words.set, only=[], quick=True, trust=words.trust, inputs=words.inputs
    )
    matrix = chosen_matrix(asked)
    groups = [_Candidates(cells=group.cells, reference=group.reference) for group in matrix.groups]
    cells, reference = _find(groups, names, matrix.name)
    return Together(matrix=matrix, cells=cells, reference=reference, run_dir=None, records={})


def _of_run(words: argparse.Namespace, names: Sequence[str]) -> Together:
    from bench import matrix, records
    from bench.cli.report import chosen_run

    run = records.open_run(chosen_run(words.run, words.results))
    found, _ = run.records()
    by_id = {record.cell_id: record for record in found}
    groups: dict[str, list[Cell]] = {}
    references: dict[str, Cell] = {}
    for record in found:
        groups.setdefault(record.group_id, []).append(record.cell)
        if record.reference_id in by_id:
            references[record.group_id] = by_id[record.reference_id].cell
    candidates = [_Candidates(cells=cells, reference=references.get(name)) for name, cells in groups.items()]
    cells, reference = _find(candidates, names, f"run {run.manifest.run_id}")
    first = cells[0] if len(cells) > 1 else reference
    replayed = matrix.replay_matrix(run.manifest.resolved_matrix, cells[-1], first, trusted=words.trust)
    again = {cell.id: cell for cell in replayed.cells}  # with today's word on their trust
    return Together(
        matrix=replayed,
        cells=tuple(again[cell.id] for cell in cells),
        reference=again[first.id] if first is not None else None,
        run_dir=run.path,
        records=by_id,
    )


def _find(groups: Sequence[_Candidates], names: Sequence[str], place: str) -> tuple[tuple[Cell, ...], Cell | None]:
    fitting = [(group, _named(group.cells, names)) for group in groups]
    whole = [(group, cells) for group, cells in fitting if all(cell is not None for cell in cells)]
    wanted = " and ".join(map(repr, names))
    if len(whole) > 1:
        known = "\n  ".join(cell.id for _, cells in whole for cell in cells if cell is not None)
        raise MatrixError(f"{len(whole)} groups of {place} have {wanted}", hint=f"name cells by id:\n  {known}")
    if not whole:
        raise _unknown(groups, names, place)
    group, cells = whole[0]
    return tuple(cell for cell in cells if cell is not None), group.reference


def _named(cells: Sequence[Cell], names: Sequence[str]) -> list[Cell | None]:
    return [next((cell for cell in cells if name in names_of(cell)), None) for name in names]


def names_of(cell: Cell) -> Iterator[str]:
    """What a cell may be called on the command line."""
    yield from (cell.id, f"{cell.model.name}.{cell.variant.name}", cell.variant.name)


def _unknown(groups: Sequence[_Candidates], names: Sequence[str], place: str) -> MatrixError:
    cells = [cell for group in groups for cell in group.cells]
    known = {name for cell in cells for name in names_of(cell)}
    absent = next((name for name in names if name not in known), None)
    listed = "\n  ".join([f"{cell.model.name}.{cell.variant.name}" for cell in cells][:_SHOWN_CELLS])
    hint = f"one of:\n  {listed}\nor name a model of the zoo, a model file or a matrix first"
    if absent is None:
        both = " and ".join(map(repr, names))
        return MatrixError(f"{both} are in no common group of {place}: they cannot be compared", hint=hint)
    close = get_close_matches(absent, known, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ""
    return MatrixError(f"{absent!r} is no cell of {place}{suggestion}", hint=hint)
