"""`bench replay`: repeat one cell of a run beside its reference, exactly as the run's frozen matrix says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.cli.report import chosen_run
from bench.cli.run import add_output_arguments, finish
from bench.core.errors import MatrixError

if TYPE_CHECKING:
    from bench.core.record import Record
    from bench.records import RunDirectory
    from bench.runner import RunResult

_SHOWN_CELLS = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run and which cell."""
    parser.add_argument("run", help="run id, or the path of its directory")
    parser.add_argument("cell", help="cell id, or model.variant where only one cell has it")
    parser.add_argument("--trust", action="append", default=[], metavar="PATH", help="a model file that may run code")
    add_output_arguments(parser)


def execute(words: argparse.Namespace) -> int:
    """Measure the cell anew in a run of its own."""
    from bench import matrix, records, runner
    from bench.cli.progress import Progress

    earlier = records.open_run(chosen_run(words.run, words.results))
    record, reference = find_cell(earlier, words.cell)
    replayed = matrix.replay_matrix(
        earlier.manifest.resolved_matrix,
        record.cell,
        reference.cell if reference is not None else None,
        trusted=words.trust,
    )
    options = runner.RunOptions(results_dir=words.results, resume=False, command=tuple(sys.argv))
    with Progress(sys.stderr) as progress:
        result = runner.run(replayed, options, progress)
        for difference in _differences(record, reference, result):
            progress.note(difference)
    return finish(words, result)


def _differences(record: Record, reference: Record | None, result: RunResult) -> Iterator[str]:
    """In what the replay was not a repetition."""
    if reference is None:
        yield "the reference of this cell was not recorded: the cell was measured alone"
    again = next((each for each in result.records if each.cell_id == record.cell_id), None)
    if again is None:
        return
    for what, before, now in (
        ("model", record.source_sha256, again.source_sha256),
        ("inputs", record.inputs_sha256, again.inputs_sha256),
        ("environment", record.environment_id, again.environment_id),
    ):
        if before and now and before != now:
            yield f"not the same {what} as then: {before[:12]} then, {now[:12]} now"


def find_cell(run: RunDirectory, wanted: str) -> tuple[Record, Record | None]:
    """The record of the wanted cell and that of its reference, which may be missing."""
    found, _ = run.records()
    by_id = {record.cell_id: record for record in found}
    fitting = [
        record for record in found if wanted in (record.cell_id, f"{record.cell.model.name}.{record.cell.variant.name}")
    ]
    if len(fitting) != 1:
        known = "\n  ".join(record.cell_id for record in (fitting or found)[:_SHOWN_CELLS])
        problem = "names no cell" if not fitting else f"names {len(fitting)} cells"
        raise MatrixError(f"{wanted!r} {problem} of {run.manifest.run_id}", hint=f"one of:\n  {known}")
    return fitting[0], by_id.get(fitting[0].reference_id)
