"""What must be made before cells can be measured, and what each of these things needs first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.core import plugins
from bench.core.cell import Cell, Dimension, ModelRef, StepCall


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """An artifact to be made: a model in its source format, with the first so many steps of a variant applied.

    `reference_source` is the format whose signature decides what examples look like; `dimensions` size made-up ones.
    """

    model: ModelRef
    source: str
    reference_source: str
    steps: tuple[StepCall, ...] = ()
    dimensions: tuple[Dimension, ...] = ()

    @property
    def before(self) -> Chain | None:
        """The artifact that the last step is applied to."""
        return replace(self, steps=self.steps[:-1]) if self.steps else None

    @property
    def examples(self) -> ExamplesWish | None:
        """What the last step learns from."""
        if not self.steps or not plugins.lookup("steps", self.steps[-1].name).learns_from:
            return None
        source = replace(self, source=self.reference_source, steps=(), dimensions=())
        return ExamplesWish(before=source, dimensions=self.dimensions)

    @property
    def needs(self) -> tuple[Wish, ...]:
        """What must be there first."""
        return tuple(wish for wish in (self.before, self.examples) if wish is not None)

    def __str__(self) -> str:
        return " > ".join((self.model.name, self.source, *(step.name for step in self.steps)))


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolWish:
    """Inputs to be made: they depend on the signature of the model's reference source, not on the variant."""

    before: Chain
    batch: int
    dimensions: tuple[Dimension, ...]

    @property
    def needs(self) -> tuple[Wish, ...]:
        """What must be there first."""
        return (self.before,)

    def __str__(self) -> str:
        return f"inputs of {self.before.model.name}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamplesWish:
    """Samples to learn from: like the inputs, they depend on the signature of the model's reference source."""

    before: Chain
    dimensions: tuple[Dimension, ...]

    @property
    def needs(self) -> tuple[Wish, ...]:
        """What must be there first."""
        return (self.before,)

    def __str__(self) -> str:
        return f"examples of {self.before.model.name}"


Wish = Chain | PoolWish | ExamplesWish


def chain_of(cell: Cell, reference: Cell) -> Chain:
    """The artifact that a cell measures."""
    return Chain(
        model=cell.model,
        source=cell.variant.source,
        reference_source=reference.variant.source,
        steps=cell.variant.steps,
        dimensions=_dimensions_of_examples(cell),
    )


def _dimensions_of_examples(cell: Cell) -> tuple[Dimension, ...]:
    """Only made-up examples take the sizes of the cell: others have their own, and their artifact serves all cells."""
    learns = any(plugins.lookup("steps", call.name).learns_from for call in cell.variant.steps)
    return cell.dimensions if learns and cell.model.kind == "path" else ()


def pool_wish(cell: Cell, reference: Cell) -> PoolWish:
    """The inputs of a cell."""
    return PoolWish(before=_source_of(reference), batch=cell.batch, dimensions=cell.dimensions)


def _source_of(reference: Cell) -> Chain:
    return replace(chain_of(reference, reference), steps=(), dimensions=())


def wishes(cell: Cell, reference: Cell) -> Iterator[Wish]:
    """All that a cell needs, each after what it needs itself."""
    yield from _with_needs(chain_of(cell, reference))
    yield from _with_needs(pool_wish(cell, reference))


def _with_needs(wish: Wish) -> Iterator[Wish]:
    for need in wish.needs:
        yield from _with_needs(need)
    yield wish
