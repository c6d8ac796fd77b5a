"""The record of a cell: the one thing that a run leaves, and that every view is made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from .artifact import Artifact
from .cell import Cell
from .results import Accuracy, Comparison, Costs, Fidelity, Flag, InForce, Outcome, SamplesRef, Statistics
from .served import Served

SCHEMA_VERSION = 1
# 1 (2026-11): first version. `served` came later: records without it are of cells in process.


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """All that is kept of one cell; every statistic can be recomputed from the samples it names."""

    run_id: str
    cell: Cell
    cell_id: str
    group_id: str
    reference_id: str
    outcome: Outcome
    started_at: str  # ISO 8601, a label
    schema_version: int = SCHEMA_VERSION
    source_sha256: str = ""
    inputs_sha256: str = ""
    artifact: Artifact | None = None
    fidelity: Fidelity | None = None
    accuracy: Accuracy | None = None
    statistics: Statistics | None = None
    comparison: Comparison | None = None
    costs: Costs = field(default_factory=Costs)
    in_force: InForce = field(default_factory=InForce)
    flags: tuple[Flag, ...] = ()
    samples: SamplesRef | None = None
    reference_samples: SamplesRef | None = None  # of the comparison, where they are not in the reference's own record
    environment_id: str = ""
    served: Served | None = None  # of a cell behind a server

    @property
    def is_reference(self) -> bool:
        """Whether this cell is what its group is compared with."""
        return self.cell_id == self.reference_id
