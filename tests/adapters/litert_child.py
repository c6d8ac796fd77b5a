"""What LiteRT's adapter says of its kernels; runs in a process of its own and answers in plain JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.formats.tflite_file import by_position, open_interpreter

_FEATURES = 8


def providers(*, directory: Path) -> dict[str, list[str]]:
    """Model -> what the session calls its provider before and after the first input."""
    import tensorflow as tf

    weights = np.random.default_rng(0).normal(size=(_FEATURES, _FEATURES)).astype("float32")
    networks: dict[str, Callable[[Any], Any]] = {
        "taken whole": lambda x: tf.nn.relu(x @ weights) * 2.0,
        "taken in two parts": lambda x: tf.nn.relu(tf.cumsum(x @ weights, axis=1) @ weights) * 2.0,
        "not taken": lambda x: tf.cumsum(x, axis=1),
    }
    found = {}
    for name, network in networks.items():
        traced = tf.function(network, input_signature=[tf.TensorSpec([None, _FEATURES], name="x")], autograph=False)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
        found[name] = _provider(converter.convert(), directory / "model.tflite")
    traced = tf.function(networks["taken whole"], input_signature=[tf.TensorSpec([1, _FEATURES], name="x")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    return {**found, "16-bit activations": _provider(converter.convert(), directory / "model.tflite")}


def _samples() -> Iterator[list[Any]]:
    rng = np.random.default_rng(1)
    return ([rng.normal(size=(1, _FEATURES)).astype("float32")] for _ in range(4))


def _provider(model: bytes, path: Path) -> list[str]:
    path.write_bytes(model)
    wide = TensorSpec(name="x", dtype="float32", shape=(1, _FEATURES))
    interpreter = open_interpreter(path, threads=1)
    inputs = by_position(interpreter, [wide], kind="input")
    outputs = by_position(interpreter, [wide], kind="output")
    artifact = Artifact(id="0", format="tflite", path=str(path), size_bytes=1, inputs=inputs, outputs=outputs)
    adapter = plugins.load("adapters", "litert")
    session = adapter.open(artifact, threads=1, options=adapter.Options())
    before = session.provider
    session.run({"x": np.ones((1, _FEATURES), np.float32)})
    return [before, session.provider]
