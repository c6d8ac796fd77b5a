"""One small network in several formats, inspected; called in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.core.job import InspectJob
from bench.worker.inspecting import InspectPerformer
from tests.conformance import step_sources


def inspect(format: str, path: str, events_dir: Path | None = None) -> dict[str, Any]:
    job = InspectJob(location=path, format=format, events_dir=str(events_dir or ""))
    return InspectPerformer(job).ask("make", {}, lambda phase: None)


def tensorflow_formats(*, directory: Path) -> dict[str, dict[str, Any]]:
    made = (step_sources.keras_model, step_sources.saved_model, step_sources.frozen_graph, step_sources.tflite_model)
    sources = [build(directory) for build in made]
    return {each.format: inspect(each.format, each.path, directory / each.format / "logs") for each in sources}


def exported_program(*, directory: Path) -> dict[str, Any]:
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 3), torch.nn.Flatten(), torch.nn.Linear(180, 7)).eval()
    path = directory / "net.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 2, 8, 8),)), path)
    return inspect("exported_program", str(path), directory / "logs")
