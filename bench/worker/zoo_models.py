"""Zoo models by the reference that the matrix made."""

from __future__ import annotations

from bench.core import plugins
from bench.core.cell import ModelRef
from bench.core.contracts import ZooModel


def zoo_model(model: ModelRef) -> ZooModel:
    """The zoo model, or the null model, with its options."""
    name = "null" if model.kind == "null" else model.location
    made: ZooModel = plugins.load("models", name)(**dict(model.options))
    return made
