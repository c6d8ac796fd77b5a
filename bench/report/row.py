"""One cell as all views see it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.core.cell import Tolerance
from bench.core.record import Record
from bench.core.results import RANKED_STATUS, Accuracy, Estimate, Interval, OutputFidelity

_NORMAL_95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell of a section; `tolerance` is None where the run does not say how it was judged.

    `has_sound_reference`: the cell it is compared with is ok; otherwise its ratio means nothing.
    """

    record: Record
    tolerance: Tolerance | None
    has_sound_reference: bool

    @property
    def variant(self) -> str:
        """The name of the variant, as the user wrote it."""
        return self.record.cell.variant.name

    @property
    def name(self) -> str:
        """What it is called beside the others of its section."""
        return self.variant

    @property
    def is_ok(self) -> bool:
        """Whether its numbers may be ranked."""
        return self.record.outcome.status == RANKED_STATUS

    @property
    def size_bytes(self) -> int | None:
        """Of the artifact, also where it could not be run."""
        record = self.record
        if record.costs.artifact_size_bytes is None and record.artifact is not None:
            return record.artifact.size_bytes
        return record.costs.artifact_size_bytes

    @property
    def build_s(self) -> float | None:
        """Spent on all steps that made the artifact, also where it could not be run."""
        record = self.record
        if record.costs.build_s is None and record.artifact is not None:
            return sum(link.duration_s for link in record.artifact.lineage)
        return record.costs.build_s

    @property
    def notes(self) -> tuple[str, ...]:
        """What its steps say that everyone who reads a number of it must know."""
        lineage = self.record.artifact.lineage if self.record.artifact is not None else ()
        return tuple(dict.fromkeys(note for link in lineage for note in link.notes))

    @property
    def ratio(self) -> Estimate:
        """Its time over its reference's."""
        comparison = self.record.comparison
        if comparison is None or not self.has_sound_reference:
            return Estimate(value=None, reason="there is no sound reference to compare it with")
        return comparison.ratio

    @property
    def standing(self) -> str:
        """In one word: reference, faster, slower, same, inconclusive, "not compared", or the status when not ok."""
        if not self.is_ok:
            return self.record.outcome.status
        if self.record.is_reference:
            return "reference"
        comparison = self.record.comparison
        return comparison.direction if comparison is not None and self.has_sound_reference else "not compared"


def is_served(record: Record) -> bool:
    """Whether a cell is behind a server, also where it never came so far that it was served."""
    return record.served is not None or (record.cell.topology != "direct" and record.statistics is None)


def speed_up(row: Row) -> Estimate:
    """The reference's time over its own: the ratio turned over, so that more is better."""
    ratio = row.ratio
    if ratio.value is None or ratio.interval is None:
        return Estimate(value=1 / ratio.value if ratio.value else None, reason=ratio.reason)
    interval = Interval(low=1 / ratio.interval.high, high=1 / ratio.interval.low, confidence=ratio.interval.confidence)
    return Estimate(value=1 / ratio.value, interval=interval)


def accuracy_change(accuracy: Accuracy) -> Estimate:
    """Share of samples gained on the reference over the same samples, below 0 where more were lost.

    The 95 % interval is that of Agresti and Min (2005) for paired proportions, which adds half a sample to each of the
    four outcomes; it is widened to hold the change itself.
    """
    lost, gained = accuracy.reference_only_right + 0.5, accuracy.variant_only_right + 0.5
    total = accuracy.total + 2
    center = (gained - lost) / total
    half = _NORMAL_95 * math.sqrt(gained + lost - (gained - lost) ** 2 / total) / total
    change = (accuracy.variant_only_right - accuracy.reference_only_right) / accuracy.total
    return Estimate(
        value=change,
        interval=Interval(low=min(center - half, change), high=max(center + half, change), confidence=0.95),
    )


def worst(outputs: tuple[OutputFidelity, ...], measure: str) -> float | None:
    """The worst value over the outputs; None where no output has one."""
    known = [value for output in outputs if (value := getattr(output, measure)) is not None]
    if not known:
        return None
    return float(max(known) if measure == "relative_error" else min(known))
