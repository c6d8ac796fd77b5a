"""What is gathered of a cell while its group runs: from a prepared artifact to the raw rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.core.artifact import Artifact
from bench.core.block import Block
from bench.core.cell import Cell
from bench.core.results import Outcome


def label_of_now() -> str:
    """The wall clock as a label, ISO 8601; never used to measure."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """The inputs that all variants of a group share."""

    path: str
    sha256: str
    labelled_path: str  # empty: no labels
    metric: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A cell ready to be measured."""

    cell: Cell
    artifact: Artifact
    pool: Pool
    source_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What a worker said of itself on opening."""

    import_s: float
    load_s: float
    first_call_ms: float
    compile_s: float | None  # part of the first call
    provider: str
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundOfCell:
    """What one fresh process of a cell yielded; `outcome` says why it is incomplete, None when it is whole."""

    round: int
    outcome: Outcome | None = None
    opened: Opened | None = None
    warm_up_s: float | None = None
    settled: bool = True  # whether the warm-up ended because speed had settled
    blocks: tuple[Block, ...] = ()
    first_visits_ns: tuple[int, ...] = ()  # one call of each input that was new to the process, where any was
    peak_memory_bytes: int | None = None
    cpu_ids: tuple[int, ...] = ()
    outputs_path: str = ""
    predictions_path: str = ""


@dataclass(kw_only=True, slots=True)
class CellRun:
    """A cell with the rounds it has had so far."""

    prepared: Prepared
    started_at: str = field(default_factory=label_of_now)
    rounds: list[RoundOfCell] = field(default_factory=list)
    environment_ids: tuple[str, ...] = ()  # of the environment before and after its rounds

    @property
    def outcome(self) -> Outcome | None:
        """Why the cell cannot be measured any more: the first round that did not end well."""
        return next((result.outcome for result in self.rounds if result.outcome is not None), None)

    @property
    def blocks(self) -> list[tuple[Block, ...]]:
        """Blocks of the whole rounds, one tuple a round."""
        return [result.blocks for result in self.rounds if result.blocks and result.outcome is None]
