"""The point of the matrix that is measured, in names and numbers only: hashable, and stable under reordering."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from .artifact import Options
from .canonical import digest, slug

_ID_HASH_CHARS = 8


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
    """How calls arrive; in process the only load is a closed loop of one caller."""

    kind: Literal["closed"] = "closed"
    concurrency: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """The value of a named dynamic dimension: one size, or a distribution sampled once per input with a seed.

    fixed: values = (size,). choice: one of values. uniform: integers from values[0] to values[1], both included.
    """

    name: str
    kind: Literal["fixed", "choice", "uniform"]
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One point of the matrix: model x variant x topology x limits x load x batch x dimensions."""

    model: ModelRef
    variant: Variant
    topology: str = "direct"
    limits: Limits = field(default_factory=Limits)
    load: LoadPlan = field(default_factory=LoadPlan)
    batch: int = 1
    dimensions: tuple[Dimension, ...] = ()

    @property
    def id(self) -> str:
        """Readable slug plus a hash of the canonical cell, the same wherever it stands in the file."""
        parts = [self.model.name, self.variant.name, self.topology, f"b{self.batch}", f"t{self.limits.threads}"]
        parts += [f"{d.name}{'-'.join(map(str, d.values))}" for d in self.dimensions]
        return f"{slug('.'.join(map(slug, parts)))}.{digest(asdict(self), length=_ID_HASH_CHARS)}"

    @property
    def group_id(self) -> str:
        """Identity of the cells that differ only in their variant: they are measured together."""
        anonymous = replace(self, variant=Variant(name="", source="", adapter=""))
        parts = [self.model.name, self.topology, f"b{self.batch}", f"t{self.limits.threads}"]
        return f"{slug('.'.join(map(slug, parts)))}.{digest(asdict(anonymous), length=_ID_HASH_CHARS)}"


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
    """

    relative_error: float | None = 1e-3
    cosine: float | None = None
    top1_agreement_ratio: float | None = None
    accuracy_loss_ratio: float | None = None


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
