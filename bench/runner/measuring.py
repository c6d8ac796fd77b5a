"""Rounds of a part of a group until every verdict is decided, the rounds are used up, or the time is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bench.core.cell import Measurement
from bench.core.results import Comparison
from bench.measure.comparison import compare, decided
from bench.measure.schedule import looks

from .crew import Crew
from .prepared import CellRun, Prepared
from .rounds import Round
from .timeline import Timeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Until when further rounds may be begun for undecided verdicts; the first look is always paid for."""

    ends_s: float | None
    now_s: Callable[[], float]

    def allows(self, next_round_s: float) -> bool:
        """Whether another round of about this length still fits."""
        return self.ends_s is None or self.now_s() + next_round_s <= self.ends_s


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPart:
    """The cells of a part with their rounds, and each variant's comparison with the reference."""

    runs: tuple[CellRun, ...]
    comparisons: dict[str, Comparison]


class PartMeasurer:
    """Measures parts of groups with one crew."""

    def __init__(self, crew: Crew, run_dir: Path, measurement: Measurement, timeline: Timeline) -> None:
        self._crew = crew
        self._run_dir = run_dir
        self._measurement = measurement
        self._timeline = timeline
        self._longest_s = 0.0  # of a round so far, per cell in it

    def measure(
        self, cells: Sequence[Prepared], reference_id: str, budget: Budget, between_blocks: Callable[[int], None]
    ) -> MeasuredPart:
        """Interleaved rounds; after each look only undecided variants go on, always beside their reference."""
        runs = [CellRun(prepared=prepared) for prepared in cells]
        comparisons: dict[str, Comparison] = {}
        planned = looks(self._measurement)
        for look, (begin, end) in enumerate(pairwise((0, *planned)), start=1):
            going = _undecided(runs, comparisons, reference_id)
            if not going:
                break
            allowed = budget if look > 1 else replace(budget, ends_s=None)
            done = self._run_rounds(going, range(begin, end), allowed, between_blocks)
            if done:  # to look again at what was seen already would be no look
                comparisons |= self._compare(going, reference_id, look, len(planned))
            if done < end - begin:
                break
        return MeasuredPart(runs=tuple(runs), comparisons=comparisons)

    def _run_rounds(
        self, runs: Sequence[CellRun], numbers: range, budget: Budget, between_blocks: Callable[[int], None]
    ) -> int:
        """Run the numbered rounds, as far as they fit into the budget; returns how many."""
        for done, number in enumerate(numbers):
            going = [run for run in runs if run.outcome is None]
            if not budget.allows(self._longest_s * len(going)):
                return done
            started_s = budget.now_s()
            measured_round = Round(
                self._crew, self._run_dir, self._measurement, self._timeline, index=number, check=number == 0
            )
            results = measured_round.run([run.prepared for run in going], lambda: between_blocks(number))  # noqa: B023  called before the next pass
            for run, result in zip(going, results, strict=True):
                run.rounds.append(result)
            self._longest_s = max(self._longest_s, (budget.now_s() - started_s) / max(1, len(going)))
        return len(numbers)

    def _compare(
        self, runs: Sequence[CellRun], reference_id: str, look: int, looks_total: int
    ) -> dict[str, Comparison]:
        reference = next((run for run in runs if run.prepared.cell.id == reference_id), None)
        if reference is None or not reference.blocks:
            return {}
        return {
            run.prepared.cell.id: compare(
                reference.blocks,
                run.blocks,
                reference_id=reference_id,
                measurement=self._measurement,
                look=look,
                looks_total=looks_total,
            )
            for run in runs
            if run is not reference and run.blocks
        }


def _undecided(runs: Sequence[CellRun], comparisons: dict[str, Comparison], reference_id: str) -> list[CellRun]:
    """Variants that need more rounds, with their reference; all before the first look, none when all is decided."""
    if not comparisons:
        return [] if any(run.rounds for run in runs) else list(runs)
    variants = [
        run
        for run in runs
        if run.outcome is None
        and run.prepared.cell.id in comparisons
        and not decided(comparisons[run.prepared.cell.id])
    ]
    references = [run for run in runs if run.prepared.cell.id == reference_id and run.outcome is None]
    return references + variants if variants and references else []
