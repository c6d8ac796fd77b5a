"""Served cells of a group: every variant first in process, side by side, then each behind its topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from bench.environment import available_memory_bytes
from bench.matrix import Matrix

from .crew import Crew
from .parts import split
from .prepared import CellRun, Prepared
from .rounds import Round
from .served_cell import InProcess, ServedCell, ServedResult, Wanted
from .timeline import Timeline

_ROUNDS_IN_PROCESS = 2  # enough for an interval of what serving costs, which is larger than what processes differ by


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedRun:
    """A served cell when all is done: its rounds in process, and what its deployment yielded (None: never started)."""

    in_process: CellRun
    result: ServedResult | None


class ServedGroup:
    """Measures the cells of a group one after the other: servers beside each other would measure each other."""

    def __init__(self, crew: Crew, run_dir: Path, matrix: Matrix, timeline: Timeline) -> None:
        self._crew = crew
        self._run_dir = run_dir
        self._matrix = matrix
        self._timeline = timeline

    def measure(
        self, cells: Sequence[Prepared], reference_id: str, missing: AbstractSet[str], tell: Callable[[str], None]
    ) -> Iterator[ServedRun]:
        """One cell at a time, the reference first; each is whole before the next begins.

        Cells that are not `missing` run along in process only, for their outputs.
        """
        in_order = sorted(cells, key=lambda prepared: prepared.cell.id != reference_id)
        runs = [CellRun(prepared=prepared) for prepared in in_order]
        by_id = {run.prepared.cell.id: run for run in runs}
        measurement = self._matrix.measurement
        for number in range(min(_ROUNDS_IN_PROCESS, measurement.rounds)):
            going = [run.prepared for run in runs if run.outcome is None]
            for part in split(going, reference_id, available_memory_bytes()) if going else ():
                this = Round(self._crew, self._run_dir, measurement, self._timeline, index=number, check=number == 0)
                fresh = [prepared for prepared in part if len(by_id[prepared.cell.id].rounds) == number]
                for prepared, result in zip(fresh, this.run(fresh, lambda: tell("in process")), strict=True):
                    by_id[prepared.cell.id].rounds.append(result)
        self._crew.await_released()
        for run in runs:
            wanted = run.prepared.cell.id in missing
            yield ServedRun(in_process=run, result=self._served(run, tell) if wanted else None)

    def _served(self, run: CellRun, tell: Callable[[str], None]) -> ServedResult | None:
        if run.outcome is not None:
            return None
        cell = run.prepared.cell
        wanted = Wanted(
            measurement=self._matrix.measurement,
            serving=self._matrix.serving,
            tolerance=self._matrix.tolerances[cell.model.name, cell.variant.name],
        )
        outputs_path = next(result.outputs_path for result in run.rounds if result.outputs_path)
        in_process = InProcess(blocks=tuple(run.blocks), outputs_path=outputs_path)
        return ServedCell(self._crew, self._run_dir, run.prepared, wanted, self._timeline).measure(in_process, tell)
