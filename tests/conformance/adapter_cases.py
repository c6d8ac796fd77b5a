"""The smallest model of every format that an adapter accepts, and what it computes in plain numpy.

All but the null model compute `product = relu(left @ W + b) - right` and `total = sum of left over features`: two
inputs and two outputs that cannot be mixed up unseen. Names inside the files differ from ours wherever the format has
names.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import plugins
from bench.core.artifact import Artifact, TensorSpec
from bench.formats import openvino_ir  # before openvino: it keeps the library from reporting that it is imported

if TYPE_CHECKING:
    from bench.core.contracts import Array, Batch

FEATURES = 128


@dataclass(frozen=True, kw_only=True)
class Case:
    """A format of an adapter: `build` writes the model, `native` are the file's names for ours, and `prepare` is done
    in the process that opens it. `threads_beside_main` is how many native threads opening and running may add with a
    budget; None where a compiler keeps a pool of its own, which sleeps while calls run. `unavailable` is what `open`
    must say where there is no device to run on, for a case that cannot be run everywhere.
    """

    adapter: str
    format: str
    build: Callable[[Path], str]
    native: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    threads_beside_main: Callable[[int], int] | None = None
    unavailable: str = ""

    def artifact(self, path: str) -> Artifact:
        """The model that `build` wrote to `path`."""
        return Artifact(
            id="0", format=self.format, path=path, size_bytes=1, inputs=self._inputs(), outputs=self._outputs()
        )

    def _inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(self._spec(name, ("batch", FEATURES)) for name in ("left", "right"))

    def _outputs(self) -> tuple[TensorSpec, ...]:
        return self._spec("product", ("batch", FEATURES)), self._spec("total", ("batch",))

    def _spec(self, name: str, shape: tuple[int | str, ...]) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape, native=self.native.get(name, ""))

    def expected(self, batch: Batch) -> dict[str, Array]:
        """The outputs in numpy, in double precision."""
        import numpy as np

        weights, bias = parameters()
        left = batch["left"].astype("float64")
        if self.adapter == "null":
            means = left.mean(axis=1) + batch["right"].mean(axis=1, dtype="float64")
            return {"product": np.sin(np.outer(means, np.arange(1, FEATURES + 1))), "total": np.sin(means)}
        return {"product": np.maximum(left @ weights + bias, 0) - batch["right"], "total": left.sum(axis=1)}


def parameters() -> tuple[Array, Array]:
    """Weights and bias, float32."""
    import numpy as np

    rng = np.random.default_rng(5)
    weights = rng.normal(scale=0.1, size=(FEATURES, FEATURES)).astype("float32")
    return weights, rng.normal(size=FEATURES).astype("float32")


def batch_of(size: int, seed: int = 0) -> dict[str, Array]:
    """Inputs of the cases."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(size, FEATURES)).astype("float32") for name in ("left", "right")}


def build_null(directory: Path) -> str:
    """A null model that does nothing."""
    path = directory / "null.json"
    path.write_text("{}")
    return str(path)


def build_onnx(directory: Path) -> str:
    """The network as one ONNX graph, opset 18."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights, bias = parameters()
    nodes = [
        helper.make_node("Gemm", ["in/left", "w", "b"], ["linear"]),
        helper.make_node("Relu", ["linear"], ["positive"]),
        helper.make_node("Sub", ["positive", "in/right"], ["out:product"]),
        helper.make_node("ReduceSum", ["in/left", "axes"], ["out:total"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    constants.append(helper.make_tensor("axes", TensorProto.INT64, [1], [1]))
    wide = ["N", FEATURES]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, wide) for name in ("in/left", "in/right")],
        [
            helper.make_tensor_value_info("out:product", TensorProto.FLOAT, wide),
            helper.make_tensor_value_info("out:total", TensorProto.FLOAT, ["N"]),
        ],
        constants,
    )
    path = directory / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return str(path)


def build_onnx_loop(directory: Path) -> str:
    """The network with its product summed in a Loop of two turns, each with half of the weights."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights, bias = parameters()
    flag, number = partial(helper.make_tensor_value_info, elem_type=TensorProto.BOOL, shape=[]), TensorProto.FLOAT
    wide = ["N", FEATURES]
    turn = helper.make_graph(
        [
            helper.make_node("MatMul", ["in/left", "half"], ["part"]),
            helper.make_node("Add", ["sum", "part"], ["sum_after"]),
            helper.make_node("Identity", ["again"], ["again_after"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn_number", TensorProto.INT64, []),
            flag("again"),
            helper.make_tensor_value_info("sum", number, wide),
        ],
        [flag("again_after"), helper.make_tensor_value_info("sum_after", number, wide)],
    )
    nodes = [
        helper.make_node("Mul", ["in/left", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "b"], ["start"]),
        helper.make_node("Loop", ["turns", "yes", "start"], ["linear"], body=turn),
        helper.make_node("Relu", ["linear"], ["positive"]),
        helper.make_node("Sub", ["positive", "in/right"], ["out:product"]),
        helper.make_node("ReduceSum", ["in/left", "axes"], ["out:total"], keepdims=0),
    ]
    constants = {
        "half": weights / 2,
        "b": bias,
        "zero": np.zeros(1, "float32"),
        "turns": np.array(2),
        "yes": np.array(True),
        "axes": np.array([1]),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, number, wide) for name in ("in/left", "in/right")],
        [
            helper.make_tensor_value_info("out:product", number, wide),
            helper.make_tensor_value_info("out:total", number, ["N"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    path = directory / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return str(path)


def build_openvino_ir(directory: Path) -> str:
    """The network as IR, made of the ONNX graph."""
    import openvino

    path = directory / openvino_ir.FILE_NAME
    openvino.save_model(openvino.convert_model(build_onnx(directory)), path, compress_to_fp16=False)
    return str(path)


def build_tensorrt_engine(directory: Path) -> str:
    """The network as an engine, made of the ONNX graph by our own step."""
    step = plugins.load("steps", "onnx_to_tensorrt")
    (directory / "onnx").mkdir()
    source = CASES["onnx"].artifact(build_onnx(directory / "onnx"))
    return str(step.apply(source, step.Options(), directory, None).path)


def _tensorflow_module() -> Any:
    import tensorflow as tf

    weights, bias = parameters()
    module = tf.Module()
    module.weights, module.bias = tf.Variable(weights), tf.Variable(bias)
    wide = [None, FEATURES]

    def net(left: Any, right: Any) -> dict[str, Any]:
        product = tf.nn.relu(left @ module.weights + module.bias) - right
        return {"p": product, "t": tf.reduce_sum(left, axis=1)}

    module.net = tf.function(net, input_signature=[tf.TensorSpec(wide, name="l"), tf.TensorSpec(wide, name="r")])
    return module


def build_saved_model(directory: Path) -> str:
    """The network as a SavedModel with variables."""
    import tensorflow as tf

    module = _tensorflow_module()
    tf.saved_model.save(module, str(directory / "net"), signatures=module.net)
    return str(directory / "net")


def build_frozen_graph(directory: Path) -> str:
    """The network as a GraphDef whose variables became constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(_tensorflow_module().net.get_concrete_function())
    path = directory / "net.pb"
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    return str(path)


def build_tflite(directory: Path) -> str:
    """The network for TensorFlow Lite, without a signature."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(_tensorflow_module().net.get_concrete_function())
    path = directory / "net.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())
    return str(path)


def build_keras(directory: Path) -> str:
    """The network as a functional Keras model whose inputs and outputs stand in another order than ours."""
    import keras

    left, right = keras.Input((FEATURES,), name="k_left"), keras.Input((FEATURES,), name="k_right")
    dense = keras.layers.Dense(FEATURES, activation="relu")
    product = keras.layers.Subtract(name="k_product")([dense(left), right])
    total = keras.layers.Identity(name="k_total")(keras.ops.sum(left, axis=1))
    model = keras.Model([right, left], [total, product])
    dense.set_weights(parameters())
    path = directory / "net.keras"
    model.save(path)
    return str(path)


def torch_net(options: Mapping[str, Any]) -> Any:
    """The network as a module; also the factory of the torch_module case."""
    import torch

    class Net(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(FEATURES, FEATURES)

        def forward(self, left: Any, right: Any) -> Any:
            return torch.relu(self.linear(left)) - right, left.sum(dim=1)

    net = Net().eval()
    weights, bias = parameters()
    net.linear.load_state_dict({"weight": torch.from_numpy(weights.T.copy()), "bias": torch.from_numpy(bias)})
    return net


def register_factory() -> None:
    """Let `torch_net` stand among the zoo's factories in this process: a torch_module names no others."""
    factory = types.ModuleType("bench.zoo.conformance")
    factory.__dict__["torch_net"] = torch_net
    sys.modules[factory.__name__] = factory


def build_torch_module(directory: Path) -> str:
    """The network as tensors and the name of its factory."""
    from bench.formats.torch_module import write_torch_module

    return str(write_torch_module(torch_net({}), "bench.zoo.conformance:torch_net", {}, directory / "net"))


def build_exported_program(directory: Path) -> str:
    """The network as .pt2 with a dynamic batch."""
    import torch

    example = tuple(torch.zeros(2, FEATURES) for _ in range(2))
    dynamic = {0: torch.export.Dim("batch", min=1, max=1024)}
    path = directory / "net.pt2"
    torch.export.save(torch.export.export(torch_net({}), example, dynamic_shapes=(dynamic, dynamic)), path)
    return str(path)


def build_torchscript(directory: Path) -> str:
    """The network scripted, with the tuple it answers with."""
    import torch

    example = tuple(torch.zeros(2, FEATURES) for _ in range(2))
    path = directory / "net.ts"
    torch.jit.save(torch.jit.trace(torch_net({}), example), str(path))
    return str(path)


def build_aot_inductor(directory: Path) -> str:
    """The exported network compiled."""
    import torch

    from bench.formats.aot_inductor import compile_package

    program = torch.export.load(build_exported_program(directory))
    example = tuple(torch.zeros(2, FEATURES) for _ in range(2))
    path = directory / "package.pt2"
    compile_package(program, example, path, directory / "cache", freezing=False)
    return str(path)


_CALLABLE = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
import torch

@dataclass
class Net:
    weights: torch.Tensor
    bias: torch.Tensor

    def __call__(self, left, right):
        return {"t": left.sum(dim=1), "p": torch.relu(left @ self.weights + self.bias) - right}

def build():
    rng = np.random.default_rng(5)
    weights = rng.normal(scale=0.1, size=(128, 128)).astype("float32")
    return Net(torch.from_numpy(weights), torch.from_numpy(rng.normal(size=128).astype("float32")))

build.inputs = {"left": ("float32", ("batch", 128)), "right": ("float32", ("batch", 128))}
"""


def build_python_callable(directory: Path) -> str:
    """The network as the user's own code, which answers with a dictionary in another order."""
    path = directory / "net.py"
    path.write_text(_CALLABLE)
    return f"{path}:build"


_KEYS = {"product": "p", "total": "t"}
_KERAS_NAMES = {"left": "k_left", "right": "k_right", "product": "k_product", "total": "k_total"}
_ONNX_NAMES = {"left": "in/left", "right": "in/right", "product": "out:product", "total": "out:total"}


def _none(threads: int) -> int:
    return 0


def _one_pool(threads: int) -> int:
    return threads - 1


def _two_pools(threads: int) -> int:
    """OpenMP's, which computes, and an idle one."""
    return 2 * (threads - 1)


def _openvino_pools(threads: int) -> int:
    """One thread that waits for requests, beside as many as compute; there are never more of these than cores."""
    return min(threads, os.cpu_count() or 1) + 1


def _tensorflow_pools(threads: int) -> int:
    """The caller only waits; one thread runs operators, and one is the inter-op pool's own."""
    return threads + 2


CASES: Mapping[str, Case] = {
    "null": Case(adapter="null", format="null", build=build_null, threads_beside_main=_none),
    "onnx": Case(
        adapter="onnxruntime",
        format="onnx",
        build=build_onnx,
        native=_ONNX_NAMES,
        threads_beside_main=_one_pool,
    ),
    "onnx_loop": Case(
        adapter="onnxruntime",
        format="onnx",
        build=build_onnx_loop,
        native=_ONNX_NAMES,
        threads_beside_main=_one_pool,
    ),
    "openvino_ir": Case(
        adapter="openvino",
        format="openvino_ir",
        build=build_openvino_ir,
        native=_ONNX_NAMES,
        threads_beside_main=_openvino_pools,
    ),
    "openvino_tflite": Case(
        adapter="openvino",
        format="tflite",
        build=build_tflite,
        native={"left": "l", "right": "r", "product": "Identity", "total": "Identity_1"},
        threads_beside_main=_openvino_pools,
    ),
    "openvino_onnx": Case(
        adapter="openvino",
        format="onnx",
        build=build_onnx,
        native=_ONNX_NAMES,
        threads_beside_main=_openvino_pools,
    ),
    "keras_jax": Case(
        adapter="keras_jax",
        format="keras",
        build=build_keras,
        native=_KERAS_NAMES,
    ),
    "keras_torch": Case(
        adapter="keras_torch",
        format="keras",
        build=build_keras,
        native=_KERAS_NAMES,
        threads_beside_main=_two_pools,
    ),
    "tflite": Case(
        adapter="litert",
        format="tflite",
        build=build_tflite,
        native={"left": "l", "right": "r", "product": "Identity", "total": "Identity_1"},
        threads_beside_main=_one_pool,
    ),
    "saved_model": Case(
        adapter="tensorflow",
        format="saved_model",
        build=build_saved_model,
        native={"left": "l", "right": "r", **_KEYS},
        threads_beside_main=_tensorflow_pools,
    ),
    "saved_model_xla": Case(
        adapter="tensorflow",
        format="saved_model",
        build=build_saved_model,
        native={"left": "l", "right": "r", **_KEYS},
        options={"xla": True},
    ),
    "frozen_graph": Case(
        adapter="tensorflow",
        format="frozen_graph",
        build=build_frozen_graph,
        native={"left": "l:0", "right": "r", "product": "Identity:0", "total": "Identity_1"},
        threads_beside_main=_tensorflow_pools,
    ),
    "keras": Case(
        adapter="tensorflow",
        format="keras",
        build=build_keras,
        native=_KERAS_NAMES,
        threads_beside_main=_tensorflow_pools,
    ),
    "tensorrt_engine": Case(
        adapter="tensorrt",
        format="tensorrt_engine",
        build=build_tensorrt_engine,
        native=_ONNX_NAMES,
        unavailable="execution unavailable: no CUDA device",
    ),
    "torch_module": Case(
        adapter="torch",
        format="torch_module",
        build=build_torch_module,
        prepare=register_factory,
        threads_beside_main=_two_pools,
    ),
    "torch_module_compiled": Case(
        adapter="torch",
        format="torch_module",
        build=build_torch_module,
        prepare=register_factory,
        options={"compile": True},
    ),
    "exported_program": Case(
        adapter="torch",
        format="exported_program",
        build=build_exported_program,
        threads_beside_main=_two_pools,
    ),
    "python_callable": Case(
        adapter="torch",
        format="python_callable",
        build=build_python_callable,
        native=_KEYS,
        threads_beside_main=_two_pools,
    ),
    "torchscript": Case(
        adapter="torchscript",
        format="torchscript",
        build=build_torchscript,
        threads_beside_main=_two_pools,
    ),
    "torchscript_optimized": Case(
        adapter="torchscript",
        format="torchscript",
        build=build_torchscript,
        options={"optimize": True},
        threads_beside_main=_two_pools,
    ),
    "aot_inductor": Case(
        adapter="aot_inductor",
        format="aot_inductor",
        build=build_aot_inductor,
        threads_beside_main=_two_pools,
    ),
}
