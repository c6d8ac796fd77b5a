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


def keras_attention(*, directory: Path) -> dict[str, Any]:
    """An Einsum is what attention of Keras multiplies with, and what TensorFlow has no count for."""
    import os

    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    tokens = keras.Input((6, 8), name="tokens")
    attended = keras.layers.MultiHeadAttention(2, 4)(tokens, tokens)
    path = directory / "attention.keras"
    keras.Model(tokens, keras.layers.Dense(3, name="scores")(attended)).save(path)
    return inspect("keras", str(path))


def frozen_loop(*, directory: Path) -> dict[str, Any]:
    """One product in the graph, one in the body of a loop that stays a function."""
    import tensorflow as tf

    def looping(x: Any) -> Any:
        matrix = tf.eye(4)
        body = tf.while_loop(lambda i, _: i < 3, lambda i, value: (i + 1, value @ matrix), [tf.constant(0), x])
        return tf.identity(body[1] @ matrix, name="y")

    path = directory / "loop.pb"
    concrete = tf.function(looping).get_concrete_function(tf.TensorSpec([1, 4], tf.float32, name="x"))
    path.write_bytes(concrete.graph.as_graph_def().SerializeToString())
    return inspect("frozen_graph", str(path))
