"""What each kind of plug-in promises. A plug-in is one module, one table line, one conformance case, one paragraph.

Plug-in modules import their framework inside functions, so that the parent can read `Options` and `blockers` without
loading it; `apply`, `open`, `build` and the rest run in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .artifact import Artifact, Change, TensorSpec
from .cell import Dimension
from .profiling import Profile, Subject

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    Batch = Mapping[str, Array]
    """Canonical tensor name -> array, the first axis is the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """Real samples that a step may learn from, none of which any variant is judged on.

    `inputs` by canonical name with the sample as first axis; `labels`, one per sample, where the model has them.
    """

    inputs: Batch
    labels: Array | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What a step or a zoo build made inside its `out_dir`: the path of the model and its signature.

    `notes` are sentences that everyone who reads a number of this model must know.
    """

    format: str
    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


class Step(Protocol):
    """An optimizer (same format in and out) or a converter.

    `Options` is a frozen dataclass with defaults, validated in the parent. `apply` reads only `source` and
    `examples`, writes only in `out_dir`, gives the same meaning for the same input, and raises only StepFailed,
    or MemoryError where memory ran out.
    """

    Options: ClassVar[type[Any]]

    def blockers(self, source_format: str, options: Any) -> Sequence[str]:
        """Reasons why this host cannot apply the step, each with the way out; empty when it can."""
        ...

    def apply(self, source: Artifact, options: Any, out_dir: Path, examples: Examples | None) -> StepResult:
        """Make the new model; `examples` are given to steps whose table line says `learns_from`, None to others."""
        ...


class Session(Protocol):
    """An opened model. `close` twice is harmless. There is no hidden batching and no caching."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: Mapping[str, str]
    provider: str

    @property
    def compile_s(self) -> float | None:
        """Seconds of all calls so far that went into compiling; None where nothing is, or the runtime tells nothing."""
        ...

    def bind(self, batch: Batch) -> Callable[[], Sequence[Array]]:
        """A bare callable for the timed loop: inputs are already native tensors, it returns the outputs in the order
        of `outputs` once they are arrays in host memory."""
        ...

    def run(self, batch: Batch) -> Mapping[str, Array]:
        """One call: canonical output name -> array in host memory."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Adapter(Protocol):
    """A framework runtime. `Options` is a frozen dataclass with defaults (compile, providers ...)."""

    Options: ClassVar[type[Any]]

    def open(self, artifact: Artifact, *, threads: int, options: Any) -> Session:
        """Load the model with every thread pool of the runtime sized to `threads`; TargetError says why it cannot.

        ExecutionUnavailable when the artifact is whole but nothing on this host can execute it.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSet:
    """Held-out real samples: `inputs` by canonical name with the sample as first axis, and one label per sample."""

    inputs: Batch
    labels: Array
    metric: str = "top-1"


class ZooModel(Protocol):
    """A model that a fresh machine has: built or read offline, seeded, hashed; all formats hold the same weights."""

    formats: ClassVar[tuple[str, ...]]

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Write the model in one of its formats; runs in a child."""
        ...

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """`count` distinct batches of real inputs, equal for equal arguments."""
        ...

    def examples(self) -> Examples:
        """Real samples for steps to learn from: none of them is among `sample_inputs` or `labelled`."""
        ...

    def labelled(self) -> LabelledSet | None:
        """The held-out labelled set, None where there are no labels."""
        ...

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """One predicted label per sample from the outputs of a batch."""
        ...


class Profiler(Protocol):
    """Looks into an opened model while it is called; the `accepts` of its table line are names of adapters.

    An empty `accepts` stands for every adapter.
    """

    def profile(self, subject: Subject) -> Profile:
        """Open, warm up, then watch `subject.runs` calls; TargetError says why nothing can be seen."""
        ...
