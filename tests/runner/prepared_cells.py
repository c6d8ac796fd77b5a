"""Cells of a null model as the workshop hands them over, without any file."""

from __future__ import annotations

from bench.core.artifact import Artifact
from bench.core.cell import Cell, ModelRef, Variant
from bench.runner.prepared import Pool, Prepared

_POOL = Pool(path="pool.npz", sha256="", labelled_path="", metric="")


def prepared(variant: str, *, adapter: str = "null", size_bytes: int = 100) -> Prepared:
    """A cell that is ready to be measured; cells of different variants are of one group."""
    artifact = Artifact(
        id="ab" * 32, format="null", path="null.json", size_bytes=size_bytes, inputs=(), outputs=(), lineage=()
    )
    cell = Cell(
        model=ModelRef(name="m", kind="null", location="null"),
        variant=Variant(name=variant, source="null", adapter=adapter),
    )
    return Prepared(cell=cell, artifact=artifact, pool=_POOL, source_sha256="")
