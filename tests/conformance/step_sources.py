"""Small sources for the steps, and how to run any format with its framework alone; imported in child processes only."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.artifact import Artifact, TensorSpec
from bench.core.contracts import Examples
from bench.core.files import sha256_tree, tree_size_bytes
from bench.formats import openvino_ir  # before openvino: it keeps the library from reporting that it is imported

IMAGE = TensorSpec(name="image", dtype="float32", shape=("batch", 12, 12, 3))
SCORES = TensorSpec(name="scores", dtype="float32", shape=("batch", 10))
IDS = TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence"))
MASK = TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence"))
TOKENS = TensorSpec(name="tokens", dtype="float32", shape=("batch", "sequence", 8), native="tokens")
EMBEDDING = TensorSpec(name="embedding", dtype="float32", shape=("batch", 8), native="embedding")


def artifact(format: str, path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Artifact:
    return Artifact(
        id=sha256_tree(path),
        format=format,
        path=str(path),
        size_bytes=tree_size_bytes(path),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def examples_for(source: Artifact, *, count: int = 64, sequence: int = 16) -> Examples:
    """Random samples that fit the signature, and labels 0 to 9 in turn."""
    rng = np.random.default_rng(11)
    inputs: dict[str, Any] = {}
    for spec in source.inputs:
        shape = [count, *(sequence if isinstance(size, str) else size for size in spec.shape[1:])]
        if "mask" in spec.name:
            inputs[spec.name] = np.ones(shape, spec.dtype)
        elif spec.dtype == "int64":
            inputs[spec.name] = rng.integers(0, 50, shape)
        else:
            inputs[spec.name] = rng.random(shape, dtype=np.float32)
    return Examples(inputs=inputs, labels=np.arange(count) % 10)


def keras_model(directory: Path) -> Artifact:
    """Convolution, batch normalization with variances that quantizing alone would break, gelu."""
    import keras

    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Conv2D(32, 3)(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(32, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(64, activation="gelu")(x)
    model = keras.Model(image, keras.layers.Dense(10, name="scores")(x))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(0.01, 3, weight.shape))
    path = directory / "model.keras"
    model.save(path)
    return artifact("keras", path, [IMAGE], [SCORES])


def saved_model(directory: Path) -> Artifact:
    """As Keras itself exports it; its signature calls the output output_0."""
    import keras

    model = keras.models.load_model(keras_model(directory).path)
    path = directory / "exported"
    model.export(path, verbose=False)
    output = TensorSpec(name="scores", dtype="float32", shape=("batch", 10), native="output_0")
    return artifact("saved_model", path, [IMAGE], [output])


def frozen_graph(directory: Path) -> Artifact:
    """Frozen by TensorFlow's own function, with the training-time identities that it leaves."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(saved_model(directory).path)
    frozen = convert_variables_to_constants_v2(loaded.signatures["serving_default"])
    path = directory / "frozen.pb"
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    image = TensorSpec(name="image", dtype="float32", shape=IMAGE.shape, native=frozen.inputs[0].name)
    scores = TensorSpec(name="scores", dtype="float32", shape=SCORES.shape, native=frozen.outputs[0].name)
    return artifact("frozen_graph", path, [image], [scores])


def tflite_model(directory: Path) -> Artifact:
    """Converted in float; files converted this way have no signature, only names of tensors."""
    import tensorflow as tf

    frozen = frozen_graph(directory)
    converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(frozen.path, ["image"], ["Identity"])
    path = directory / "model.tflite"
    path.write_bytes(converter.convert())
    image = TensorSpec(name="image", dtype="float32", shape=IMAGE.shape, native="image")
    scores = TensorSpec(name="scores", dtype="float32", shape=SCORES.shape, native="Identity")
    return artifact("tflite", path, [image], [scores])


def onnx_model(directory: Path) -> Artifact:
    """Two matrix products; the values of the weights are stored with their shapes, as torch's exporter does."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    rng = np.random.default_rng(2)
    first = rng.standard_normal((12, 32)).astype(np.float32)
    second = rng.standard_normal((10, 32)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "first"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "second"], ["scores"], transB=1),
        ],
        "two_products",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 12])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
        value_info=[helper.make_tensor_value_info("second", TensorProto.FLOAT, [10, 32])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    path = directory / "model.onnx"
    save(model, path)
    return artifact("onnx", path, [TensorSpec(name="features", dtype="float32", shape=("batch", 12))], [SCORES])


def openvino_model(directory: Path) -> Artifact:
    """The two products as IR, with names of OpenVINO's that differ from ours."""
    import openvino

    source = onnx_model(directory)
    model = openvino.convert_model(source.path)
    model.inputs[0].get_tensor().set_names({"in/features"})
    path = directory / openvino_ir.FILE_NAME
    openvino.save_model(model, path, compress_to_fp16=False)
    (features,) = source.inputs
    return artifact("openvino_ir", path, [replace(features, native="in/features")], source.outputs)


def onnx_convolutions(directory: Path) -> Artifact:
    """Two convolutions, the first with batch normalization, and a matrix product; channels first."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    rng = np.random.default_rng(4)
    shapes = {"first": (16, 3, 3, 3), "second": (32, 16, 3, 3), "matrix": (32, 10), "bias": (10,)}
    shapes |= dict.fromkeys(("scale", "offset", "mean"), (16,))
    weights = {name: rng.standard_normal(shape).astype(np.float32) / 4 for name, shape in shapes.items()}
    weights["variance"] = rng.uniform(0.1, 2, 16).astype(np.float32)
    weights["shape"] = np.array([-1, 32])
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "first"], ["a"]),
            helper.make_node("BatchNormalization", ["a", "scale", "offset", "mean", "variance"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Conv", ["c", "second"], ["d"]),
            helper.make_node("GlobalAveragePool", ["d"], ["e"]),
            helper.make_node("Reshape", ["e", "shape"], ["f"]),
            helper.make_node("Gemm", ["f", "matrix", "bias"], ["scores"]),
        ],
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 12, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    path = directory / "model.onnx"
    save(model, path)
    return artifact("onnx", path, [TensorSpec(name="image", dtype="float32", shape=("batch", 3, 12, 16))], [SCORES])


def onnx_feature_maps(directory: Path) -> Artifact:
    """One convolution whose output keeps all axes, channels first."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    kernel = np.random.default_rng(5).standard_normal((6, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["maps"])],
        "feature_maps",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 6, 6, 6])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    path = directory / "model.onnx"
    save(model, path)
    image = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 8, 8))
    return artifact("onnx", path, [image], [TensorSpec(name="maps", dtype="float32", shape=("batch", 6, 6, 6))])


def onnx_encoder(directory: Path) -> Artifact:
    """One layer of BERT in the words of its checkpoint's own code, written by the tracing exporter."""
    from bench.core import plugins

    out_dir = directory / "converted"
    out_dir.mkdir()
    source = torch_artifact(directory, bert_layer, [IDS, MASK], [TOKENS])
    step = plugins.load("steps", "torch_to_onnx")
    result = step.apply(source, step.Options(exporter="legacy"), out_dir, None)
    return artifact("onnx", result.path, result.inputs, result.outputs)


def bert_layer(_options: Mapping[str, Any]) -> Any:
    """Two heads of four values a token."""
    import torch
    from torch import nn

    class BertLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 8)
            self.query, self.key, self.value, self.attended = (nn.Linear(8, 8) for _ in range(4))
            self.widened, self.narrowed = nn.Linear(8, 32), nn.Linear(32, 8)
            self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))

        def heads(self, x: Any) -> Any:
            return x.view(x.size(0), x.size(1), 2, 4).permute(0, 2, 1, 3)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            x = self.norms[0](self.table(input_ids))
            query, key, value = (self.heads(part(x)) for part in (self.query, self.key, self.value))
            blocked = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -10000.0
            weights = torch.softmax(query @ key.transpose(-1, -2) / 2.0 + blocked, -1)
            context = (weights @ value).permute(0, 2, 1, 3).contiguous()
            context = context.view(context.size(0), context.size(1), 8)
            x = self.norms[1](self.attended(context) + x)
            return self.norms[2](self.narrowed(nn.functional.gelu(self.widened(x))) + x)

    return BertLayer()


def torch_encoder(directory: Path) -> Artifact:
    """A masked encoder with two outputs in a mapping, in another order than the specs, one with a common name."""
    return torch_artifact(directory, encoder, [IDS, MASK], [EMBEDDING, TOKENS])


def torch_artifact(directory: Path, factory: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Artifact:
    """Write the module of `factory`, which is made known as one of the zoo's: others are refused."""
    import torch

    from bench.formats.torch_module import write_torch_module

    zoo_module = types.ModuleType("bench.zoo.conformance")
    sys.modules.setdefault(zoo_module.__name__, zoo_module)
    setattr(sys.modules[zoo_module.__name__], factory.__name__, factory)
    torch.manual_seed(3)
    reference = f"bench.zoo.conformance:{factory.__name__}"
    path = write_torch_module(factory({}), reference, {}, directory / "module")
    return artifact("torch_module", path, inputs, outputs)


def encoder(_options: Mapping[str, Any]) -> Any:
    """At most 64 positions: a limit of the network's own, as every real encoder has."""
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 8)
            self.positions = nn.Parameter(torch.randn(64, 8))
            self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, input_ids: Any, attention_mask: Any) -> dict[str, Any]:
            x = self.table(input_ids) + self.positions[: input_ids.shape[1]]
            scores = self.query(x) @ self.key(x).transpose(1, 2)
            weights = torch.softmax(scores.masked_fill(attention_mask[:, None] == 0, -1e9), -1)
            tokens = self.out(torch.nn.functional.gelu(weights @ self.value(x)))
            mask = attention_mask[:, :, None].to(tokens.dtype)
            return {"tokens": tokens, "embedding": (tokens * mask).sum(1) / mask.sum(1)}

    return Encoder()


def torch_classifier(directory: Path) -> Artifact:
    """Convolutions with batch norms that have seen other values than 0 and 1, and a linear layer."""
    image = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 12, 12))
    return torch_artifact(directory, classifier, [image], [SCORES])


def classifier(_options: Mapping[str, Any]) -> Any:
    import torch
    from torch import nn

    norms = nn.BatchNorm2d(16), nn.BatchNorm2d(32)
    for norm in norms:
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    blocks = (nn.Conv2d(3, 16, 3), norms[0], nn.ReLU(), nn.Conv2d(16, 32, 3), norms[1], nn.ReLU())
    torch.manual_seed(3)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def sizes_as_plain_numbers(_options: Mapping[str, Any]) -> Any:
    """What nn.MultiheadAttention does inside: a tracer writes down the sizes that it saw."""
    import torch

    class Sizes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(8, 8)

        def forward(self, features: Any) -> Any:
            return self.linear(features).reshape(int(features.shape[0]) * 2, 4).reshape(int(features.shape[0]), 8)

    return Sizes()


def layered_classifier(directory: Path) -> Artifact:
    """A network of plain layers in a row: logits, batch norms of both kinds, and a flattened map larger than 1x1."""
    import torch

    from bench.formats.networks import torch_network
    from bench.formats.torch_module import write_torch_module

    layers: Any = [
        ("convolution", 8), ("batch_norm", 0), ("relu", 0), ("average_pool", 2), ("convolution", 16), ("relu", 0),
        ("flatten", 0), ("dense", 16), ("batch_norm", 0), ("relu", 0), ("dense", 10),
    ]  # fmt: skip
    torch.manual_seed(3)
    module = torch_network(layers, (12, 12, 3))
    for name, values in module.state_dict().items():
        if values.ndim > 1:  # torch's own are so small that all samples would get the same answer
            torch.nn.init.kaiming_normal_(values)
        elif "running" in name:
            torch.nn.init.uniform_(values, *((0.5, 2.0) if "var" in name else (-0.5, 0.5)))
    options = {"layers": layers, "input_shape": (12, 12, 3)}
    path = write_torch_module(module, "bench.zoo.layered:torch_module", options, directory / "module")
    return artifact("torch_module", path, [IMAGE], [SCORES])


def exported_encoder(directory: Path) -> Artifact:
    """`torch_encoder` as an exported program."""
    import torch

    from bench.formats.exported_program import export
    from bench.formats.torch_source import load_source

    encoder = torch_encoder(directory)
    source = load_source(encoder, None)
    path = directory / "model.pt2"
    torch.export.save(export(source.module, source), path)
    return artifact("exported_program", path, encoder.inputs, encoder.outputs)


def run(format: str, path: Path, batch: Mapping[str, Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """Output name -> array, from the framework alone."""
    values = [batch[spec.name] for spec in inputs]
    return dict(zip((spec.name for spec in outputs), _RUNNERS[format](path, values, inputs, outputs), strict=True))


def _run_keras(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    import keras

    return [keras.models.load_model(path, compile=False)(values[0]).numpy()]


def _run_saved_model(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    feeds = {spec.native_name: tf.constant(value) for spec, value in zip(inputs, values, strict=True)}
    answer = loaded.signatures["serving_default"](**feeds)
    return [answer[spec.native_name].numpy() for spec in outputs]


def _run_frozen_graph(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    """In a session of TensorFlow 1, which shares no state with the process around it."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        feeds = {spec.native_name: value for spec, value in zip(inputs, values, strict=True)}
        return session.run([spec.native_name for spec in outputs], feeds)


def _run_onnx(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {spec.native_name: value for spec, value in zip(inputs, values, strict=True)}
    return session.run([spec.native_name for spec in outputs], feeds)


def _run_tflite(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    for spec, value in zip(inputs, values, strict=True):
        interpreter.resize_tensor_input(places[spec.native_name], value.shape)
    interpreter.allocate_tensors()
    for spec, value in zip(inputs, values, strict=True):
        interpreter.set_tensor(places[spec.native_name], value)
    interpreter.invoke()
    places = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    return [interpreter.get_tensor(places[spec.native_name]) for spec in outputs]


def _run_torch(module: Any, values: Any, outputs: Any) -> list[Any]:
    import torch

    answer = module(*(torch.from_numpy(value) for value in values))
    if isinstance(answer, Mapping):
        return [answer[spec.native_name].numpy() for spec in outputs]
    return [tensor.numpy() for tensor in (answer if isinstance(answer, tuple) else (answer,))]


def _run_torch_module(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    from bench.formats.torch_module import load_torch_module

    return _run_torch(load_torch_module(path), values, outputs)


def _run_exported_program(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    from bench.formats.exported_program import load_exported

    return _run_torch(load_exported(path).module(), values, outputs)


def _run_torchscript(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    import torch

    return _run_torch(torch.jit.load(str(path)), values, outputs)


def _run_aot_inductor(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    import torch

    return _run_torch(torch._inductor.aoti_load_package(str(path)), values, outputs)


def _run_openvino(path: Path, values: Any, inputs: Any, outputs: Any) -> list[Any]:
    """In single precision, whatever the processor would do by itself."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled({spec.native_name: value for spec, value in zip(inputs, values, strict=True)})
    return [answer[spec.native_name] for spec in outputs]


_RUNNERS = {
    "keras": _run_keras,
    "saved_model": _run_saved_model,
    "frozen_graph": _run_frozen_graph,
    "onnx": _run_onnx,
    "tflite": _run_tflite,
    "openvino_ir": _run_openvino,
    "torch_module": _run_torch_module,
    "exported_program": _run_exported_program,
    "torchscript": _run_torchscript,
    "aot_inductor": _run_aot_inductor,
}
