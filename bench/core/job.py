"""What a child process is asked to do: a JSON file, so that `python -m bench.worker JOB` repeats it by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .artifact import Artifact, TensorSpec
from .behaviour import OutputRange
from .cell import Cell, Dimension, ModelRef, StepCall, Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceJob:
    """Build a zoo model in one format, or read the signature of the user's file; answers with a StepResult."""

    kind: Literal["source"] = "source"
    model: ModelRef
    format: str
    out_dir: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MembersJob:
    """List the other files that the user's model file refers to, so that the store can copy them with it."""

    kind: Literal["members"] = "members"
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StepJob:
    """Apply one optimizer or converter to an artifact; answers with a StepResult."""

    kind: Literal["step"] = "step"
    step: StepCall
    source: Artifact
    out_dir: str
    examples_path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamplesJob:
    """Write the samples that steps may learn from as one .npz file; `dimensions` matter for made-up samples only."""

    kind: Literal["examples"] = "examples"
    model: ModelRef
    inputs: tuple[TensorSpec, ...]
    dimensions: tuple[Dimension, ...]
    seed: int
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InputsJob:
    """Write the pool of input batches (and, when asked, the labelled set) as .npz files."""

    kind: Literal["inputs"] = "inputs"
    model: ModelRef
    inputs: tuple[TensorSpec, ...]
    count: int
    batch: int
    dimensions: tuple[Dimension, ...]
    seed: int
    pool_path: str
    labelled_path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureJob:
    """Open an artifact with an adapter, check its outputs, warm up, then run blocks on command."""

    kind: Literal["measure"] = "measure"
    cell: Cell
    artifact: Artifact
    round: int
    pool_path: str
    outputs_path: str = ""  # where to write the outputs on the pool; empty: do not check in this round
    labelled_path: str = ""
    predictions_path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadJob:
    """Be the client of a server: wait for it, ask it, put loads on it.

    `artifact` tells the tensors, the pool is what is sent, `tolerance` how far an answer may be from the expected one.
    """

    kind: Literal["load"] = "load"
    cell_id: str
    artifact: Artifact
    pool_path: str
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileJob:
    """Look into a cell with one profiler over so many calls of its first input; answers with the path of a Profile."""

    kind: Literal["profile"] = "profile"
    profiler: str
    cell: Cell
    artifact: Artifact
    pool_path: str
    runs: int
    out_dir: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NumericsJob:
    """Find where a variant leaves its reference; answers with a `bench.explain.divergence.Divergence`.

    The outputs of `cell` are compared with those of `reference`, the tensors inside with those of `against`: an
    artifact of the variant's own format, None where there is none to compare with.
    """

    kind: Literal["numerics"] = "numerics"
    cell: Cell
    artifact: Artifact
    reference: Cell
    reference_artifact: Artifact
    against: str
    against_artifact: Artifact | None
    pool_path: str
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True, slots=True)
class BehaviourJob:
    """Open an artifact and make the checks of `bench.behaviour` one by one; `before_path` holds what another process
    answered, or receives it when the answers are asked for."""

    kind: Literal["behaviour"] = "behaviour"
    cell: Cell
    artifact: Artifact
    pool_path: str
    before_path: str
    tolerance: float
    ranges: tuple[OutputRange, ...] = ()
    cases_path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectJob:
    """Say what is in a model file; answers with a `bench.inspect.Inspection`.

    `inputs` and `outputs` are empty where the file itself must tell them; `events_dir` is where to write its graph for
    TensorBoard, empty for nowhere.
    """

    kind: Literal["inspect"] = "inspect"
    location: str
    format: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    events_dir: str = ""


Job = (
    MembersJob
    | SourceJob
    | StepJob
    | ExamplesJob
    | InputsJob
    | MeasureJob
    | LoadJob
    | BehaviourJob
    | ProfileJob
    | NumericsJob
    | InspectJob
)
