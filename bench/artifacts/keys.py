"""What decides whether a step must run again: its input, its options and the packages that do the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.core.artifact import Artifact
from bench.core.canonical import digest
from bench.core.cell import StepCall


def step_key(source: Artifact, step: StepCall, versions: Sequence[tuple[str, str]], *, inputs_sha256: str = "") -> str:
    """The key of applying `step` to `source` with these package versions, in any order.

    `inputs_sha256` is the hash of the calibration inputs of a step that reads them. Where the source lies and what
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
            "calibration": inputs_sha256,
        }
    )
