"""Steps as people write them who trust a tool that ends with success: the real tools, called the way that breaks.

Installed by a test as a distribution of its own (`naive_tools`); none of them looks at what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core.artifact import Artifact
from bench.core.contracts import Examples, StepResult
from bench.core.plugins import PluginSpec


def _spec(name: str, accepts: str, produces: str) -> PluginSpec:
    return PluginSpec(
        name=name, target=f"naive_tools:{name.upper()}", summary="naive", accepts=(accepts,), produces=produces
    )


TO_TFLITE_SPEC = _spec("naive_tflite", "keras", "tflite")
ERFC_SPEC = _spec("naive_onnx", "keras", "onnx")
WEIGHTS_SPEC = _spec("naive_int8", "frozen_graph", "frozen_graph")
CLASH_SPEC = _spec("naive_torch_onnx", "python_callable", "onnx")
ONE_WEIGHT_SPEC = _spec("one_weight", "onnx", "onnx")
OPTIMIZED_SPEC = _spec("naive_torchscript", "python_callable", "torchscript")


@dataclass(frozen=True, kw_only=True)
class Options:
    """None."""


class _Naive:
    Options = Options

    def blockers(self, source_format: str, options: Options) -> Sequence[str]:
        return ()

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        raise NotImplementedError


def _result(source: Artifact, format: str, path: Path, native: Sequence[str] = ()) -> StepResult:
    specs = (*source.inputs, *source.outputs)
    named = [replace(spec, native=name) for spec, name in zip(specs, native or [s.name for s in specs], strict=True)]
    count = len(source.inputs)
    return StepResult(format=format, path=path, inputs=tuple(named[:count]), outputs=tuple(named[count:]))


class NaiveTflite(_Naive):
    """The converter reads a SavedModel of the Keras model: the weights are lost, the file answers NaN."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        import keras
        import tensorflow as tf

        model = keras.models.load_model(source.path)
        tf.saved_model.save(model, str(out_dir / "saved"))
        path = out_dir / "model.tflite"
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(out_dir / "saved")).convert())
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))
        names = [d["name"] for d in (*interpreter.get_input_details(), *interpreter.get_output_details())]
        return _result(source, "tflite", path, names)


class NaiveOnnx(_Naive):
    """tf2onnx leaves an operator that ONNX does not have, for Keras' gelu."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        import keras
        import tensorflow as tf
        import tf2onnx

        model = keras.models.load_model(source.path)
        signature = [tf.TensorSpec((None, *source.inputs[0].shape[1:]), tf.float32, name=source.inputs[0].name)]
        function = tf.function(lambda image: {source.outputs[0].name: model(image)}, input_signature=signature)
        path = out_dir / "model.onnx"
        tf2onnx.convert.from_function(function, input_signature=signature, opset=18, output_path=str(path))
        return _result(source, "onnx", path)


class NaiveInt8(_Naive):
    """Small constants are quantized, too: the variances of batch normalization become zero."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        from tensorflow.python.util import _pywrap_transform_graph as transforms

        graph = Path(source.path).read_bytes()
        inputs, outputs = (
            ",".join(spec.native_name.split(":")[0] for spec in specs) for specs in (source.inputs, source.outputs)
        )
        path = out_dir / "model.pb"
        made = transforms.TransformGraphWithStringInputs(graph, inputs, outputs, "quantize_weights(minimum_size=16)")
        path.write_bytes(made)
        return StepResult(format="frozen_graph", path=path, inputs=source.inputs, outputs=source.outputs)


def _torch_module(source: Artifact) -> Any:
    import importlib.util

    file, _, function = source.path.rpartition(":")
    spec = importlib.util.spec_from_file_location("naive_net", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)().eval()


class NaiveTorchOnnx(_Naive):
    """The output gets a name that the exporter uses inside."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        import torch

        path = out_dir / "model.onnx"
        torch.onnx.export(
            _torch_module(source),
            (torch.zeros(2, 8, dtype=torch.int64),),
            str(path),
            dynamo=True,
            output_names=["embedding"],
            input_names=["ids"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
            external_data=False,
            verbose=False,
        )
        return _result(source, "onnx", path, ["ids", "embedding"])


class NaiveTorchscript(_Naive):
    """What is optimized for inference can be saved, and not be loaded."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        import torch

        module = _torch_module(source)
        traced = torch.jit.freeze(torch.jit.trace(module, torch.zeros(2, 8, dtype=torch.int64)))
        path = out_dir / "model.ts"
        torch.jit.save(torch.jit.optimize_for_inference(traced), str(path))
        return _result(source, "torchscript", path)


class OneWeight(_Naive):
    """Not a tool: one weight of the last layer, drawn with a seed, changes its sign."""

    def apply(self, source: Artifact, options: Options, out_dir: Path, examples: Examples | None) -> StepResult:
        import numpy as np
        import onnx
        from onnx import numpy_helper

        model = onnx.load(source.path)
        tensor = next(each for each in reversed(model.graph.initializer) if len(each.dims) == 2)
        weights = numpy_helper.to_array(tensor).copy()
        place = np.random.default_rng(7).integers(weights.size)
        weights.flat[place] = -weights.flat[place]
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
        path = out_dir / "model.onnx"
        onnx.save(model, path)
        return StepResult(format="onnx", path=path, inputs=source.inputs, outputs=source.outputs)


NAIVE_TFLITE = NaiveTflite()
NAIVE_ONNX = NaiveOnnx()
NAIVE_INT8 = NaiveInt8()
NAIVE_TORCH_ONNX = NaiveTorchOnnx()
NAIVE_TORCHSCRIPT = NaiveTorchscript()
ONE_WEIGHT = OneWeight()
