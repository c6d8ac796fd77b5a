"""The point of the matrix that is measured, in names and numbers only: hashable, and stable under reordering."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal

import msgspec

from .artifact import Options
from .canonical import digest, slug

_ID_HASH_CHARS = 10
_ID_PART_CHARS = 32  # so that a long model name does not push the variant out of sight


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCall:
    """One optimizer or converter with its options."""

    name: str
    options: Options = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A chain of steps from a source format, and the adapter that runs the result."""

    name: str
    source: str
    adapter: str
    steps: tuple[StepCall, ...] = ()
    adapter_options: Options = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """What the user hands over: a zoo name, a path, or a null model; `trusted` is the user's explicit word."""

    name: str
    kind: Literal["zoo", "path", "null"]
    location: str
    format: str = ""  # of a path; empty for zoo models, which offer several
    inputs_path: str = ""  # the user's own .npz/.npy/.jsonl
    examples_path: str = ""  # the same, for steps that learn
    options: Options = ()
    trusted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the target may use; None means not limited. `threads` is the budget of every runtime's pools."""

    threads: int = 1
    cpu_ids: tuple[int, ...] | None = None
    cpu_quota_cores: float | None = None
    memory_limit_bytes: int | None = None
    gpu_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadPlan:
    """How requests arrive; in process the only load is a closed loop of one caller.

    An open load has a rate of its own, or as `load_ratio` a share of the most that the server can do in a closed loop.
    `burst_size` requests arrive at once in bursts; a ramp ends at `end_rate_per_s`; a trace is a file of arrival times.
    """

    kind: Literal["closed", "poisson", "constant", "burst", "ramp", "trace"] = "closed"
    concurrency: int = 1
    rate_per_s: float | None = None
    load_ratio: float | None = None
    burst_size: int | None = None
    end_rate_per_s: float | None = None
    trace_path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """The value of a named dynamic dimension: one size, or a distribution sampled once per input with a seed.

    fixed: values = (size,). choice: one of values. uniform: integers from values[0] to values[1], both included.
    """

    name: str
    kind: Literal["fixed", "choice", "uniform"]
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)  # no slots: the ids are computed once and kept
class Cell:
    """One point of the matrix: model x variant x topology x limits x load x batch x dimensions."""

    model: ModelRef
    variant: Variant
    topology: str = "direct"
    topology_options: Options = ()
    limits: Limits = field(default_factory=Limits)
    load: LoadPlan = field(default_factory=LoadPlan)
    batch: int = 1
    dimensions: tuple[Dimension, ...] = ()

    @cached_property
    def id(self) -> str:
        """Readable slug plus a hash of the canonical cell, the same wherever it stands in the file."""
        return _readable_id(self, self.model.name, self.variant.name)

    @property
    def has_varied_inputs(self) -> bool:
        """Whether the inputs differ in shape, so that timed blocks must go through all of them."""
        return any(dimension.kind != "fixed" for dimension in self.dimensions)

    @cached_property
    def group_id(self) -> str:
        """Identity of the cells that differ only in their variant: they are measured together."""
        anonymous = replace(self, variant=Variant(name="", source="", adapter=""))
        return _readable_id(anonymous, self.model.name)


def _readable_id(cell: Cell, *names: str) -> str:
    chosen = (str(value) for _, value in cell.topology_options)
    parts = [*names, "-".join((cell.topology, *chosen)), f"b{cell.batch}", f"t{cell.limits.threads}"]
    parts += [f"{dimension.name}{'-'.join(map(str, dimension.values))}" for dimension in cell.dimensions]
    words = ".".join(slug(part)[:_ID_PART_CHARS] for part in parts)
    return f"{slug(words)}.{digest(_identity(cell), length=_ID_HASH_CHARS)}"


def _identity(cell: Cell) -> dict[str, Any]:
    """What makes a cell this cell: of a path only the last name counts, so that two checkouts agree, and the user's
    word about a file's trust changes nothing that is measured."""
    identity: dict[str, Any] = msgspec.to_builtins(cell)
    model = identity["model"]
    del model["trusted"]
    model["inputs_path"] = PurePath(model["inputs_path"]).name
    examples_path = model.pop("examples_path")  # came later: an id must not change where it is not used
    if examples_path:
        model["examples_path"] = PurePath(examples_path).name
    if cell.model.kind == "path":
        model["location"] = PurePath(model["location"]).name
    _drop_later_words(identity)
    return identity


def _drop_later_words(identity: dict[str, Any]) -> None:
    """Fields that came after the first records, where they say nothing: an id must not change for a cell without."""
    if not identity["topology_options"]:
        del identity["topology_options"]
    load = identity["load"]
    for name in ("rate_per_s", "load_ratio", "burst_size", "end_rate_per_s"):
        if load[name] is None:
            del load[name]
    trace_path = load.pop("trace_path")
    if trace_path:
        load["trace_path"] = PurePath(trace_path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Cells measured together, interleaved; `reference_id` names the cell that ratios are taken against."""

    id: str
    cells: tuple[Cell, ...]
    reference_id: str

    @property
    def reference(self) -> Cell:
        """The reference cell."""
        return next(cell for cell in self.cells if cell.id == self.reference_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """How far a variant's outputs may be from the reference before it is invalid; None means not judged.

    `relative_error` is max abs difference / max abs reference value, per output, the worst output counts.
    `min_size_ratio` is the least size on disk over the reference's: 4-bit weights of a file with everything stored
    three times still have 0.04, so less means that weights are missing.
    """

    relative_error: float | None = 1e-3
    cosine: float | None = None
    top1_agreement_ratio: float | None = None
    accuracy_loss_ratio: float | None = None
    min_size_ratio: float | None = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """How much measuring to buy; the meaning of each number is in docs/reference/measurement.md."""

    rounds: int = 5
    max_rounds: int = 20
    blocks: int = 10
    block_min_calls: int = 20
    block_min_s: float = 0.05
    block_max_s: float = 2.0
    warm_up_min_calls: int = 10
    warm_up_min_s: float = 0.5
    warm_up_max_s: float = 30.0
    min_effect_ratio: float = 0.02
    equivalence_ratio: float = 0.05
    budget_s: float | None = None
    phase_deadline_s: float = 120.0
    seed: int = 0
    input_pool: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """How served cells are measured; the meaning of each number is in docs/reference/measurement.md.

    `requests` at the cell's own load and `curve_requests` at each share of `curve_ratios` are bought as far as
    `point_max_s` reaches. `slo_ms` is the goal for p99, None when there is none.
    """

    slo_ms: float | None = None
    error_budget_ratio: float = 0.0
    requests: int = 5600
    curve_ratios: tuple[float, ...] = (0.3, 0.6, 0.9)
    curve_requests: int = 1000
    point_max_s: float = 120.0
    warm_up_s: float = 1.0
    zero_load_s: float = 2.0
    saturation_step_s: float = 1.0
    max_concurrency: int = 32
    timeout_s: float = 10.0
    start_deadline_s: float = 120.0
