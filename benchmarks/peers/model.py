"""The model that all servers serve, what is asked of it, and what it answers in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.artifact import Artifact, TensorSpec
from bench.core.cell import Cell, Limits, ModelRef, Options, Variant
from bench.core.files import sha256_file
from bench.runner.prepared import Pool, Prepared
from bench.zoo.inputs import synthetic_inputs, write_pool

NAME = "cnn"
_EDGE = 64
_CHANNELS = (3, 32, 64, 64)
_CLASSES = 10
_INPUT = TensorSpec(name="input", dtype="float32", shape=("batch", _EDGE, _EDGE, 3))
_OUTPUT = TensorSpec(name="output", dtype="float32", shape=("batch", _CLASSES))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One ONNX file with a pool of inputs, and the file with its outputs on them."""

    artifact: Artifact
    pool_path: Path
    outputs_path: Path

    def prepared(self, topology: str, options: Options, limits: Limits) -> Prepared:
        """The model as a cell behind a topology."""
        cell = Cell(
            model=ModelRef(name=NAME, kind="path", location=self.artifact.path, format="onnx"),
            variant=Variant(name="onnx", source="onnx", adapter="onnxruntime"),
            topology=topology,
            topology_options=options,
            limits=limits,
        )
        pool = Pool(path=str(self.pool_path), sha256="", labelled_path="", metric="")
        return Prepared(cell=cell, artifact=self.artifact, pool=pool, source_sha256=self.artifact.id)


def make_subject(directory: Path, inputs: int) -> Subject:
    """Write the model, `inputs` pictures and the answers to them below `directory`."""
    path = directory / "cnn.onnx"
    write_model(path)
    artifact = Artifact(
        id=sha256_file(path),
        format="onnx",
        path=str(path),
        size_bytes=path.stat().st_size,
        inputs=(_INPUT,),
        outputs=(_OUTPUT,),
    )
    pool = synthetic_inputs([_INPUT], count=inputs, batch=1, dimensions=(), seed=0)
    subject = Subject(artifact=artifact, pool_path=directory / "pool.npz", outputs_path=directory / "outputs.npz")
    write_pool(subject.pool_path, pool)
    _write_outputs(subject.outputs_path, path, pool)
    return subject


def write_model(path: Path) -> None:
    """A classifier of 64x64 pictures, three 3x3 convolutions, about a millisecond a picture on one core; the same bytes
    each time."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    nodes = [helper.make_node("Transpose", ["input"], ["pool0"], perm=[0, 3, 1, 2])]
    for layer, (before, after) in enumerate(pairwise(_CHANNELS), start=1):
        weights[f"w{layer}"] = rng.normal(0, (2 / (9 * before)) ** 0.5, (after, before, 3, 3))
        nodes += [
            helper.make_node("Conv", [f"pool{layer - 1}", f"w{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]),
            helper.make_node("MaxPool", [f"relu{layer}"], [f"pool{layer}"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
    weights["dense"] = rng.normal(0, 0.2, (_CHANNELS[-1], _CLASSES))
    last = f"pool{len(_CHANNELS) - 1}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        helper.make_node("MatMul", ["features", "dense"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(_INPUT.shape))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(_OUTPUT.shape))],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _write_outputs(path: Path, model: Path, pool: Sequence[Mapping[str, Any]]) -> None:
    """In the form in which workers write outputs: run/position/name."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    answers = {
        f"{run}/{position}/output": session.run(["output"], dict(batch))[0]
        for run in ("first", "second")
        for position, batch in enumerate(pool)
    }
    np.savez(path, **answers)
