"""Small models on disk as a user would have them, made by the frameworks themselves in a fresh interpreter."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import step_sources


def make(*, directory: Path) -> dict[str, str]:
    """Write a SavedModel, a frozen .pb and an .onnx file; their paths by format."""
    made = (step_sources.saved_model, step_sources.frozen_graph, step_sources.onnx_model)
    return {model.format: model.path for model in (build(directory) for build in made)}
