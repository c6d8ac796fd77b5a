"""Small real models and what the worker finds of them; imported in child processes only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.artifact import Artifact, TensorSpec
from bench.core.cell import Cell, ModelRef, Tolerance, Variant
from bench.core.files import sha256_tree, tree_size_bytes
from bench.core.job import NumericsJob
from bench.worker.numerics import NumericsPerformer
from bench.zoo.inputs import write_pool
from tests.conformance import step_sources

_SIZE = 32
IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 3, _SIZE, _SIZE))
SCORES = TensorSpec(name="scores", dtype="float32", shape=("batch", 10))


def convolutions(directory: Path, name: str, *, changed_weight: float = 0.0) -> Artifact:
    """Three convolutions with ReLU, a mean and a product; `changed_weight` is added to one weight of the second."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(7)
    nodes, weights, last, channels = [], [], "image", 3
    for number in range(3):
        kernel = (rng.standard_normal((64, channels, 3, 3)) / np.sqrt(9 * channels)).astype(np.float32)
        if number == 1:
            kernel[5, 4, 1, 1] += changed_weight
        weights.append(numpy_helper.from_array(kernel, f"kernel{number}"))
        nodes += [
            helper.make_node(
                "Conv", [last, f"kernel{number}"], [f"conv{number}"], pads=[1, 1, 1, 1], name=f"c{number}"
            ),
            helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"], name=f"r{number}"),
        ]
        last, channels = f"relu{number}", 64
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"], name="p"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="f"),
        helper.make_node("MatMul", ["flat", "classes"], ["scores"], name="m"),
    ]
    weights.append(numpy_helper.from_array(rng.standard_normal((64, 10)).astype(np.float32), "classes"))
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, _SIZE, _SIZE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    path = directory / name
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return _artifact("onnx", path, (IMAGE,), (SCORES,))


def make_product(*, directory: Path) -> str:
    """A product with a constant matrix, as MatMul: what MatMulNBits takes the place of."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(3).normal(size=(256, 256)).astype("float32")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrix"], ["y"], name="product")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 256])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    path = directory / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return str(path)


def make_convolutions(directory: Path) -> str:
    """The path of the unchanged file."""
    return convolutions(directory, "convolutions.onnx").path


def diverge_onnx(directory: Path) -> dict[str, Any]:
    """One changed weight, once told to leave the tolerance and once the same file twice."""
    reference = convolutions(directory, "reference.onnx")
    changed = convolutions(directory, "changed.onnx", changed_weight=3.0)
    pool = _pool(directory, IMAGE)
    return {
        "changed": _found("onnxruntime", reference, changed, pool, Tolerance(relative_error=1e-3)),
        "same": _found("onnxruntime", reference, reference, pool, Tolerance(relative_error=1e-3)),
    }


def diverge_quantized(directory: Path) -> dict[str, Any]:
    """Quantized dynamically, and statically with QDQ, against the floats."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    class Samples(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter([{"image": np.random.default_rng(3).random((2, 3, _SIZE, _SIZE), dtype=np.float32)}])

        def get_next(self) -> Any:
            return next(self._left, None)

    reference = convolutions(directory, "reference.onnx")
    dynamic, static = directory / "dynamic.onnx", directory / "static.onnx"
    quantize_dynamic(reference.path, dynamic, weight_type=QuantType.QUInt8)
    quantize_static(reference.path, static, Samples(), weight_type=QuantType.QInt8)
    pool = _pool(directory, IMAGE)
    return {
        path.stem: _found(
            "onnxruntime", reference, _artifact("onnx", path, (IMAGE,), (SCORES,)), pool, Tolerance(relative_error=1e-6)
        )
        for path in (dynamic, static)
    }


def diverge_frozen(directory: Path) -> dict[str, Any]:
    """A frozen graph whose first kernel is scaled, against the graph it was made from."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)  # once per process, and the adapter wants one
    tf.config.threading.set_inter_op_parallelism_threads(1)
    reference = step_sources.frozen_graph(directory)
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(Path(reference.path).read_bytes())
    kernel = next(
        node for node in graph.node if node.op == "Const" and len(node.attr["value"].tensor.tensor_shape.dim) == 4
    )
    values = tf.make_ndarray(kernel.attr["value"].tensor) * 1.5
    kernel.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
    path = directory / "changed.pb"
    path.write_bytes(graph.SerializeToString())
    changed = replace(reference, path=str(path), id=sha256_tree(path))
    found = _found(
        "tensorflow", reference, changed, _pool(directory, step_sources.IMAGE), Tolerance(relative_error=1e-3)
    )
    return {"kernel": kernel.name, "found": found}


def _found(adapter: str, reference: Artifact, changed: Artifact, pool: Path, tolerance: Tolerance) -> dict[str, Any]:
    model = ModelRef(name="m", kind="path", location="m", format=reference.format)
    cell = Cell(model=model, variant=Variant(name="changed", source=reference.format, adapter=adapter))
    job = NumericsJob(
        cell=cell,
        artifact=changed,
        reference=replace(cell, variant=replace(cell.variant, name="reference")),
        reference_artifact=reference,
        against="reference",
        against_artifact=reference,
        pool_path=str(pool),
        tolerance=tolerance,
    )
    performer = NumericsPerformer(job)
    phases: list[str] = []
    while "found" not in (answer := performer.ask("next", {}, phases.append)):
        pass
    return {**answer["found"], "phases": phases}


def _pool(directory: Path, spec: TensorSpec) -> Path:
    rng = np.random.default_rng(1)
    path = directory / "pool.npz"
    write_pool(path, [{spec.name: rng.random((2, *spec.shape[1:]), dtype=np.float32)} for _ in range(2)])  # type: ignore[arg-type]
    return path


def _artifact(format: str, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Artifact:
    return Artifact(
        id=sha256_tree(path),
        format=format,
        path=str(path),
        size_bytes=tree_size_bytes(path),
        inputs=inputs,
        outputs=outputs,
    )
