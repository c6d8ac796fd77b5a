"""One round: a fresh process for every cell of a group, opened, checked, warmed up, timed in alternating blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bench.core.block import Block, Counters
from bench.core.cell import Measurement
from bench.core.errors import HostError
from bench.core.job import MeasureJob
from bench.core.results import Outcome
from bench.measure.schedule import block_orders, calls_per_block
from bench.supervise import Answer, Child

from .crew import Crew, Question, Reply, outcome_of
from .prepared import Opened, Prepared, RoundOfCell
from .timeline import Timeline


class _Seat:
    """A cell's place in the round: its child while it lives, and what it has yielded."""

    def __init__(self, prepared: Prepared, round_index: int) -> None:
        self.prepared = prepared
        self.child: Child | None = None
        self.result = RoundOfCell(round=round_index)
        self.inputs = 0
        self.calls = 0
        self.blocks: list[Block] = []

    @property
    def alive(self) -> bool:
        return self.result.outcome is None and self.child is not None

    def fail(self, outcome: Outcome) -> None:
        self.result = replace(self.result, outcome=outcome)


class Round:
    """Runs one round of some cells of a group; a cell that dies leaves the round, the others go on."""

    def __init__(
        self, crew: Crew, run_dir: Path, measurement: Measurement, timeline: Timeline, *, index: int, check: bool
    ) -> None:
        self._crew = crew
        self._run_dir = run_dir
        self._measurement = measurement
        self._timeline = timeline
        self._index = index
        self._check = check

    def run(self, cells: Sequence[Prepared], between_blocks: Callable[[], None]) -> list[RoundOfCell]:
        """The results in the order of `cells`; every child is on its way out when it returns."""
        seats = [_Seat(prepared, self._index) for prepared in cells]
        try:
            self._open(seats)
            self._check_outputs(seats)
            self._crew.await_released()
            self._warm_up(seats)
            self._time_blocks(seats, between_blocks)
            self._finish(seats)
        finally:
            self._crew.release(seat.child for seat in seats if seat.child is not None)
        return [replace(seat.result, blocks=tuple(seat.blocks)) for seat in seats]

    def _open(self, seats: Sequence[_Seat]) -> None:
        def weights() -> dict[str, float]:
            opened = [seat.result.opened for seat in seats if seat.result.opened is not None]
            if not opened:
                return {"load": 1.0}
            first_calls_s = sum(facts.first_call_ms for facts in opened) / 1000
            return {
                "import": sum(facts.import_s for facts in opened),
                "load": sum(facts.load_s for facts in opened) + first_calls_s,
            }

        with self._timeline.share(weights):
            for seat in seats:
                self._hire(seat)
            for seat, body in self._ask_all([seat for seat in seats if seat.alive], "open"):
                seat.result = replace(seat.result, opened=msgspec.convert(body, Opened))
                seat.inputs = body["inputs"]

    def _hire(self, seat: _Seat) -> None:
        cell = seat.prepared.cell
        name = f"{cell.id}.r{self._index}"
        job = MeasureJob(
            cell=cell,
            artifact=seat.prepared.artifact,
            round=self._index,
            pool_path=seat.prepared.pool.path,
            outputs_path=str(self._run_dir / "outputs" / f"{name}.npz") if self._check else "",
            labelled_path=seat.prepared.pool.labelled_path if self._check else "",
            predictions_path=str(self._run_dir / "outputs" / f"{name}.labels.npz") if self._check else "",
        )
        try:
            seat.child = self._crew.hire(job, name, cell.limits)
        except HostError as error:
            seat.fail(
                Outcome(
                    status="failed", reason=error.message, hint=error.hint or "", culprit=error.culprit, phase="start"
                )
            )

    def _check_outputs(self, seats: Sequence[_Seat]) -> None:
        if not self._check:
            return
        with self._timeline.spend("check"):
            for seat, body in self._ask_all([seat for seat in seats if seat.alive], "check"):
                seat.result = replace(
                    seat.result,
                    outputs_path=body["outputs_path"],
                    predictions_path=body["predictions_path"],
                )

    def _warm_up(self, seats: Sequence[_Seat]) -> None:
        """One after the other: a worker that warms up beside a neighbour settles at the wrong speed."""
        measurement = msgspec.to_builtins(self._measurement)
        for seat in seats:
            rotate = seat.prepared.cell.has_varied_inputs
            body = self._ask(seat, "warm", {"measurement": measurement, "rotate": rotate})
            if body is not None:
                self._timeline.credit("warm-up", body["warm_up_s"])
                seat.result = replace(seat.result, warm_up_s=body["warm_up_s"], settled=body["settled"])
                inputs = seat.inputs if rotate else 1
                seat.calls = calls_per_block(body["estimate_ns"], self._measurement, inputs=inputs)

    def _time_blocks(self, seats: Sequence[_Seat], between_blocks: Callable[[], None]) -> None:
        orders = block_orders(len(seats), self._measurement.blocks, self._measurement.seed + self._index)
        for block_index, order in enumerate(orders):
            for position in order:
                self._time_block(seats[position], block_index)
            between_blocks()
        for seat in seats:
            self._time_first_visits(seat)

    def _time_block(self, seat: _Seat, block_index: int) -> None:
        body = self._ask(seat, "block", {"calls": seat.calls, "rotate": seat.prepared.cell.has_varied_inputs})
        if body is not None:
            self._timeline.credit("timed", body["wall_ns"] / 1e9)
            seat.blocks.append(
                Block(
                    round=self._index,
                    index=block_index,
                    latencies_ns=tuple(body["latencies_ns"]),
                    settling_calls=body["settling_calls"],
                    wall_ns=body["wall_ns"],
                    counters=msgspec.convert(body["counters"], Counters),
                )
            )

    def _time_first_visits(self, seat: _Seat) -> None:
        """One call of every input that the process has not seen: a target that remembers answers gives itself away.

        Where outputs were checked or inputs differ in shape, the process has seen them all.
        """
        if self._check or seat.prepared.cell.has_varied_inputs or seat.inputs < 2:
            return
        body = self._ask(seat, "distinct", {})
        if body is not None:
            self._timeline.credit("timed", sum(body["latencies_ns"]) / 1e9)
            seat.result = replace(seat.result, first_visits_ns=tuple(body["latencies_ns"]))

    def _finish(self, seats: Sequence[_Seat]) -> None:
        for seat in seats:
            body = self._ask(seat, "finish", {})
            if body is not None:
                seat.result = replace(
                    seat.result, peak_memory_bytes=body["peak_memory_bytes"], cpu_ids=tuple(body["cpu_ids"])
                )

    def _ask_all(self, seats: Sequence[_Seat], verb: str) -> Iterator[tuple[_Seat, dict[str, Any]]]:
        """Ask all seats side by side; those who do not answer leave the round."""
        questions = [Question(child=_child(seat), verb=verb) for seat in seats]
        for position, reply in self._crew.ask_each(questions):
            body = _body_or_leave(seats[position], reply)
            if body is not None:
                yield seats[position], body

    def _ask(self, seat: _Seat, verb: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Ask one seat; None when it is dead or does not answer."""
        if not seat.alive:
            return None
        return _body_or_leave(seat, self._crew.ask(_child(seat), verb, body))


def _child(seat: _Seat) -> Child:
    assert seat.child is not None  # noqa: S101  only seats that are alive are asked
    return seat.child


def _body_or_leave(seat: _Seat, reply: Reply) -> dict[str, Any] | None:
    if isinstance(reply, Answer):
        return reply.body
    seat.fail(outcome_of(reply))
    return None
