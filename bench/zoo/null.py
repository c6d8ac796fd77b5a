"""The null model: no weights, only what the null adapter is to imitate, so that the whole pipeline runs in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.core.artifact import Scalar, TensorSpec
from bench.core.canonical import canonical_json
from bench.core.contracts import Examples, StepResult

if TYPE_CHECKING:
    from bench.core.cell import Dimension
    from bench.core.contracts import Array, Batch, LabelledSet

_INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 4)),)
_EXAMPLES = 64
_OUTPUTS = (TensorSpec(name="output", dtype="float32", shape=("batch", 2)),)


class Null:
    """The zoo entry; its options (`service_ms`, `jitter_ratio` ...) are the words of the null adapter's model file."""

    formats: ClassVar[tuple[str, ...]] = ("null",)

    def __init__(self, **options: Scalar | tuple[Scalar, ...]) -> None:
        self._options = options

    def build(self, format: str, out_dir: Path) -> StepResult:
        """Write the options as `null.json`."""
        if format != "null":
            raise ValueError(f"null is not offered as {format}")
        path = out_dir / "null.json"
        path.write_text(canonical_json(self._options) + "\n", encoding="utf-8")
        return StepResult(format=format, path=path, inputs=_INPUTS, outputs=_OUTPUTS)

    def sample_inputs(self, *, count: int, batch: int, dimensions: Sequence[Dimension], seed: int) -> Sequence[Batch]:
        """Four normal numbers per sample."""
        from .inputs import synthetic_inputs

        return synthetic_inputs(_INPUTS, count=count, batch=batch, dimensions=dimensions, seed=seed)

    def examples(self) -> Examples:
        """The same kind of numbers from another stream."""
        import numpy as np

        from .inputs import examples_generator

        return Examples(inputs={"input": examples_generator().normal(size=(_EXAMPLES, 4)).astype(np.float32)})

    def labelled(self) -> LabelledSet | None:
        """None."""
        return None

    def predictions(self, outputs: Mapping[str, Array]) -> Array:
        """The index of the higher output."""
        classes: Array = outputs["output"].argmax(axis=1)
        return classes
