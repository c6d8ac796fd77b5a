"""What decides whether a step must run again: its input, its options and the packages that do the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.core.artifact import Artifact
from bench.core.canonical import digest
from bench.core.cell import StepCall


def step_key(
    source: Artifact, step: StepCall, versions: Sequence[tuple[str, str]], *, examples_sha256: str = ""
) -> str:
    """The key of applying `step` to `source` with these package versions, in any order.

    `examples_sha256` is the hash of the samples that a step learned from. Where the source lies and what
    made it do not matter; what is in it, its format and its signature do.
    """
    return digest(
        {
            "source": source.id,
            "format": source.format,
            "model": Path(source.path).name,
            "inputs": [asdict(spec) for spec in source.inputs],
            "outputs": [asdict(spec) for spec in source.outputs],
            "step": asdict(step),
            "versions": sorted(versions),
            "examples": examples_sha256,
        }
    )
